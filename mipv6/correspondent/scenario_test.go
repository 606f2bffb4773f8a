package correspondent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/describe"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

const (
	contact = "2001:db8:9::1"
	glass   = "2001:db8:1::10"
	client  = "2001:db8:a::10"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// story is one scenario: the core, a clock, and a mobile node's memory.
//
//	at 5s                        let time pass, and say what happens when
//	hoti|coti [from=] [hao]      a test; the mobile node keeps the token
//	bu seq= life= [home=] [careof=] [alt=] [ack] [H] [homenonce=] [careofnonce=] [forged] [no-hao] [no-auth]
//	event [home=] [careof=]      the data plane dropped a Home Address option
//	icmp code= [careof=]         an ICMPv6 destination unreachable about a routed packet
//	raw hex= [hao]               a Mobility Header as it is, its checksum taken for right
//	plane fails|works            the data plane refuses bindings
//	use|idle                     the data plane saw the bindings used, or not
//	bindings, counters           show
type story struct {
	t           *testing.T
	core        *core
	now         time.Time
	used, fails bool
	home        rr.HomeToken
	careOf      map[netip.Addr]rr.CareOfToken
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		s := &story{t: t, now: start, careOf: map[netip.Addr]rr.CareOfToken{}}
		var err error
		seed := [32]byte{1}
		s.core, err = newCore(Config{MaxLifetime: mipv6.MaxRRBindingLifetime}, func(bindings.Key) bool { return s.used }, rand.NewChaCha8(seed))
		if err != nil {
			t.Fatal(err)
		}
		return s.run
	})
}

func (s *story) run(c scenario.Command) string {
	switch c.Name {
	case "at":
		return s.until(start.Add(c.Duration("t")))
	case "hoti":
		return s.test(c, &mipv6.HomeTestInit{Cookie: mipv6.Cookie{7: byte(c.Int("cookie", 1))}}, c.Addr("from", contact))
	case "coti":
		return s.test(c, &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{7: byte(c.Int("cookie", 2))}}, c.Addr("from", glass))
	case "bu":
		return s.update(c)
	case "event":
		return s.perform(s.core.event(s.now, dataplane.Event{Kind: dataplane.UnknownHomeAddress,
			Source: c.Addr("careof", glass), Dest: c.Addr("to", client), Home: c.Addr("home", contact)}))
	case "icmp":
		actions, handled := s.core.icmp(s.now, mhsock.ICMPError{Type: uint8(c.Int("type", 1)), Src: c.Addr("local", client),
			Dst: c.Addr("careof", glass), RoutedHome: c.Addr("home", contact)})
		return s.answer(actions, handled)
	case "raw":
		b, err := hex.DecodeString(c.String("hex", ""))
		if err != nil {
			s.t.Fatal(err)
		}
		r := mhsock.Received{Src: c.Addr("from", glass), Dst: c.Addr("to", client), Message: b}
		if c.Has("hao") {
			r.Src, r.CareOf = c.Addr("home", contact), r.Src
		}
		return s.answer(s.core.message(s.now, r))
	case "plane":
		s.fails = c.Has("fails")
		return ""
	case "use", "idle":
		s.used = c.Name == "use"
		return ""
	case "bindings":
		var b strings.Builder
		for _, e := range s.core.cache.Bindings() {
			fmt.Fprintf(&b, "%v at %v, number %d, until %v\n", e.Key, e.CareOf, e.Sequence, e.Expires.Sub(start))
		}
		return b.String()
	case "counters":
		var b strings.Builder
		for _, name := range []string{CounterMalformed, CounterInvalid, CounterUnauthorised, CounterLimited} {
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

func (s *story) test(c scenario.Command, m mipv6.Message, from netip.Addr) string {
	p := &mipv6.Packet{Src: from, Dst: c.Addr("to", client)}
	if c.Has("hao") {
		p.HomeAddress = c.Addr("home", contact)
	}
	if err := p.Carry(m, nil); err != nil {
		s.t.Fatal(err)
	}
	actions, handled := s.core.message(s.now, arrive(p))
	for _, a := range actions {
		answer, err := mipv6.Parse(a.packet.Payload)
		if err != nil {
			s.t.Fatal(err)
		}
		switch answer := answer.(type) {
		case *mipv6.HomeTest:
			s.home = rr.HomeToken{Token: answer.Token, NonceIndex: answer.NonceIndex, Received: s.now}
		case *mipv6.CareOfTest:
			s.careOf[from] = rr.CareOfToken{Token: answer.Token, NonceIndex: answer.NonceIndex, Received: s.now}
		}
	}
	return s.answer(actions, handled)
}

func (s *story) update(c scenario.Command) string {
	home, source, local := c.Addr("home", contact), c.Addr("careof", glass), c.Addr("to", client)
	careOf := c.Addr("alt", source.String())
	m := &mipv6.BindingUpdate{Sequence: uint16(c.Int("seq", 1)), Acknowledge: c.Has("ack"), HomeRegistration: c.Has("H"), Lifetime: c.Seconds("life", 420)}
	if c.Has("alt") {
		m.Options = append(m.Options, &mipv6.AlternateCareOf{Addr: careOf})
	}
	keys := rr.Keys{Home: s.home, CareOf: s.careOf[careOf]}
	nonces := keys.NonceIndices()
	nonces.Home = uint16(c.Int("homenonce", int(nonces.Home)))
	nonces.CareOf = uint16(c.Int("careofnonce", int(nonces.CareOf)))
	m.Options = append(m.Options, nonces)
	key := keys.Kbm()
	covered := careOf
	if m.Lifetime == 0 || careOf == home {
		key, covered = keys.KbmDelete(), home
	}
	if c.Has("forged") {
		key[0] ^= 1
	}
	mac := func(d []byte) mipv6.Authenticator { return rr.Authenticate(key, covered, local, d) }
	if c.Has("no-auth") {
		mac = nil
	}
	p := &mipv6.Packet{Src: source, Dst: local, HomeAddress: home}
	if c.Has("no-hao") {
		p.Src, p.HomeAddress = home, netip.Addr{}
	}
	if err := p.Carry(m, mac); err != nil {
		s.t.Fatal(err)
	}
	actions, handled := s.core.message(s.now, arrive(p))
	for _, a := range actions {
		if a.kind == actSend {
			s.checkAuthenticator(a.packet, key, covered)
		}
	}
	return s.answer(actions, handled)
}

// checkAuthenticator verifies the authenticator of an acknowledgement, if it
// has one.
func (s *story) checkAuthenticator(p *mipv6.Packet, key rr.Key, careOf netip.Addr) {
	data, a, err := mipv6.AuthenticatorInput(p.Payload)
	if errors.Is(err, mipv6.KindAuthorization) {
		return
	}
	if err != nil || !rr.Authentic(a, key, careOf, p.Src, data) {
		s.t.Errorf("wrong authenticator in %s: %v", describe.Packet(p), err)
	}
}

func arrive(p *mipv6.Packet) mhsock.Received {
	r := mhsock.Received{Message: p.Payload}
	r.Src, r.Dst = p.ChecksumAddresses()
	if p.HomeAddress.IsValid() {
		r.CareOf = p.Src
	}
	return r
}

func (s *story) answer(actions []action, handled bool) string {
	if !handled {
		return "not handled"
	}
	return s.perform(actions)
}

func (s *story) perform(actions []action) string {
	var b strings.Builder
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		switch a.kind {
		case actSend:
			fmt.Fprintf(&b, "send %s\n", describe.Packet(a.packet))
		case actSet:
			fmt.Fprintf(&b, "set %v of %v at %v\n", a.binding.Home, a.binding.Local, a.binding.CareOf)
			if s.fails {
				b.WriteString("which fails\n")
				actions = s.core.bindFailed(s.now, a)
			}
		case actRemove:
			fmt.Fprintf(&b, "remove %v of %v\n", a.binding.Home, a.binding.Local)
		}
	}
	return b.String()
}
