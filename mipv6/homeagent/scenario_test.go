package homeagent

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/describe"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

const (
	contact = "2001:db8:9::1"
	agent   = "2001:db8:9::ff"
	glass   = "2001:db8:1::10"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ones is a source of randomness that is not.
type ones struct{}

func (ones) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 1
	}
	return len(b), nil
}

// story is one scenario: the core and a clock.
//
//	allow [home=] [careof=]         excludes everybody else
//	at t=5s                         let time pass, and say what happens when
//	bu seq= life= [home=] [careof=] [alt=] [to=] [L] [K] [not-H] [no-hao]
//	neighbour target= [from=] [advertises] [own-nonce] [at=]
//	router from= [address=] [preference= lifetime=] [router-lifetime=] [valid=] [no-R] [not-home-agent]
//	solicitation                    of routers
//	advertise interval= preference= this home agent advertises itself
//	ask type= [from=] [to=]         a query of a mobile node by ICMPv6
//	error type= [code=] [from=] [home=] [careof=] [agent=] [payload=] [cut]   about a packet in the tunnel
//	host fails=watch|proxy|tunnel   the host refuses this from now on; nothing without fails
//	revoke [home=] [careof=]        a registration is taken back
//	withdraw                        the role ends
//	bindings, counters              show
type story struct {
	t     *testing.T
	core  *core
	now   time.Time
	fails string
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		cfg := Config{Address: netip.MustParseAddr(agent), Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Interface: "eth0"}
		cfg = cfg.withDefaults()
		if err := cfg.check(); err != nil {
			t.Fatal(err)
		}
		s := &story{t: t, now: start, core: newCore(cfg, link{"eth0", net.HardwareAddr{2, 0, 0, 0, 0, 0xff}, netip.MustParseAddr("fe80::ff")}, ones{})}
		return s.run
	})
}

func (s *story) run(c scenario.Command) string {
	switch c.Name {
	case "allow":
		if c.Has("home") {
			s.core.cfg.Allow.Homes = append(s.core.cfg.Allow.Homes, c.Addr("home", ""))
		}
		if c.Has("careof") {
			s.core.cfg.Allow.CareOf = append(s.core.cfg.Allow.CareOf, netip.MustParsePrefix(c.String("careof", "")))
		}
		return ""
	case "at":
		return s.until(start.Add(c.Duration("t")))
	case "bu":
		return s.update(c)
	case "neighbour":
		n := homelink.Neighbour{Src: c.Addr("from", "::"), Target: c.Addr("target", contact), Advertisement: c.Has("advertises")}
		if c.Has("own-nonce") {
			n.Nonce = []byte{1, 1, 1, 1, 1, 1}
		}
		if c.Has("at") {
			mac, err := net.ParseMAC(c.String("at", ""))
			if err != nil {
				s.t.Fatal(err)
			}
			n.LinkLayer = mac
		}
		return s.perform(s.core.heard(s.now, n))
	case "router":
		return s.router(c)
	case "solicitation":
		return s.perform(s.core.heard(s.now, homelink.Neighbour{Src: netip.MustParseAddr("fe80::5"), RouterSolicitation: true}))
	case "advertise":
		s.core.cfg.Advertise, s.core.cfg.Preference = true, uint16(c.Int("preference", 0))
		s.core.cfg.AdvertInterval = c.Duration("interval")
		s.core.startAdverts(s.now)
		return s.perform(s.core.poll(s.now))
	case "ask":
		q := []byte{byte(c.Int("type", 144)), 0, 0, 0, 0x12, 0x34, 0, 0}
		return s.perform(s.core.icmp(s.now, homelink.ICMP{Src: c.Addr("from", glass), Dst: c.Addr("to", "2001:db8:9:0:fdff:ffff:ffff:fffe"), Data: q}))
	case "error":
		return s.tunnelError(c)
	case "host":
		s.fails = c.String("fails", "")
		return ""
	case "revoke":
		actions, revoked := s.core.revoke(s.now, c.Addr("home", contact), c.Addr("careof", glass))
		if !revoked {
			return "none"
		}
		return s.perform(actions)
	case "withdraw":
		return s.perform(s.core.withdraw(s.now))
	case "bindings":
		var b strings.Builder
		for _, e := range s.core.cache.Bindings() {
			fmt.Fprintf(&b, "%v at %v, number %d, until %v\n", e.Home, e.CareOf, e.Sequence, e.Expires.Sub(start))
		}
		return b.String()
	case "counters":
		var b strings.Builder
		for _, name := range []string{CounterAccepted, CounterRefused, CounterPending, CounterInvalid, CounterLimited, CounterFailed} {
			fmt.Fprintf(&b, "%s %d\n", name, s.core.counters[name])
		}
		return b.String()
	}
	return c.Unknown()
}

// until lets every deadline before the end happen at its moment.
func (s *story) until(end time.Time) string {
	var b strings.Builder
	for {
		next, ok := s.core.next()
		if !ok || next.After(end) {
			s.now = end
			return b.String()
		}
		s.now = next
		if out := s.perform(s.core.poll(s.now)); out != "" {
			fmt.Fprintf(&b, "at %v\n%s", s.now.Sub(start), out)
		}
	}
}

func (s *story) update(c scenario.Command) string {
	m := &mipv6.BindingUpdate{Sequence: uint16(c.Int("seq", 1)), Acknowledge: true, HomeRegistration: !c.Has("not-H"),
		LinkLocal: c.Has("L"), KeyManagement: c.Has("K"), Lifetime: c.Seconds("life", 600)}
	if c.Has("alt") {
		m.Options = append(m.Options, &mipv6.AlternateCareOf{Addr: c.Addr("alt", "")})
	}
	p := &mipv6.Packet{Src: c.Addr("careof", glass), Dst: c.Addr("to", agent), HomeAddress: c.Addr("home", contact)}
	if c.Has("no-hao") {
		p.Src, p.HomeAddress = p.HomeAddress, netip.Addr{}
	}
	if err := p.Carry(m, nil); err != nil {
		s.t.Fatal(err)
	}
	r := mhsock.Received{Message: p.Payload}
	r.Src, r.Dst = p.ChecksumAddresses()
	if p.HomeAddress.IsValid() {
		r.CareOf = p.Src
	}
	actions, handled := s.core.message(s.now, r)
	if !handled {
		return "not handled"
	}
	return s.perform(actions)
}

// router is a Router Advertisement of another home agent, or router.
func (s *story) router(c scenario.Command) string {
	r := &nd.RouterAdvertisement{HomeAgent: !c.Has("not-home-agent")}
	if c.Has("router-lifetime") {
		r.Lifetime = c.Duration("router-lifetime")
	}
	if c.Has("preference") {
		r.Agent = &nd.HomeAgentInformation{Preference: uint16(c.Int("preference", 0)), Lifetime: c.Duration("lifetime")}
	}
	if c.Has("address") {
		valid := time.Hour
		if c.Has("valid") {
			valid = c.Duration("valid")
		}
		r.Prefixes = []nd.PrefixInformation{{
			Prefix: netip.PrefixFrom(c.Addr("address", ""), 64), OnLink: true, Autonomous: true, RouterAddress: !c.Has("no-R"), Valid: valid, Preferred: valid / 2,
		}}
	}
	return s.perform(s.core.heard(s.now, homelink.Neighbour{Src: c.Addr("from", ""), Router: r}))
}

// tunnelError is an ICMPv6 error about a packet on its way to the mobile node.
func (s *story) tunnelError(c scenario.Command) string {
	payload, err := hex.DecodeString(c.String("payload", "8000000000010001"))
	if err != nil {
		s.t.Fatal(err)
	}
	inner := mipv6.Packet{Src: c.Addr("from", "2001:db8:a::10"), Dst: c.Addr("home", contact), HopLimit: 60, NextHeader: nd.Protocol, Payload: payload}
	quoted, err := inner.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	outer := mipv6.Packet{Src: c.Addr("agent", agent), Dst: c.Addr("careof", glass), HopLimit: 64, NextHeader: protocolIPv6, Payload: quoted}
	b, err := outer.MarshalBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	if c.Has("cut") {
		b = b[:60]
	}
	data := append([]byte{byte(c.Int("type", 1)), byte(c.Int("code", 0)), 0, 0, 0, 0, 0, 0}, b...)
	return s.perform(s.core.icmp(s.now, homelink.ICMP{Src: netip.MustParseAddr("2001:db8:1::1"), Dst: netip.MustParseAddr(agent), Data: data}))
}

func (s *story) perform(actions []action) string {
	var b strings.Builder
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		kind := ""
		switch a.kind {
		case actSend:
			fmt.Fprintf(&b, "send %s\n", describe.Packet(a.packet))
		case actWatch:
			kind = "watch"
			fmt.Fprintf(&b, "watch %v\n", a.addr)
		case actUnwatch:
			fmt.Fprintf(&b, "unwatch %v\n", a.addr)
		case actAddProxy:
			kind = "proxy"
			fmt.Fprintf(&b, "proxy %v\n", a.addr)
		case actRemoveProxy:
			fmt.Fprintf(&b, "no proxy %v\n", a.addr)
		case actSetTunnel:
			kind = "tunnel"
			fmt.Fprintf(&b, "tunnel %v to %v from %v\n", a.tunnel.Home, a.tunnel.CareOf, a.tunnel.HomeAgent)
		case actDeliver:
			fmt.Fprintf(&b, "deliver to %v: %s\n", a.linkLayer, describe.Packet(a.packet))
		case actRemoveTunnel:
			fmt.Fprintf(&b, "no tunnel %v\n", a.tunnel.Home)
		}
		if kind != "" && kind == s.fails {
			b.WriteString("which fails\n")
			actions = s.core.failed(s.now, a)
		}
	}
	return b.String()
}
