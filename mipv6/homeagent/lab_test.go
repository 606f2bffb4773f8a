package homeagent

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/tests/lab"
)

const patience = 20 * time.Second

// homeNet is the tests' network:
//
//	┌───────┐ eth0        glass ┌────────┐ home         eth0 ┌────┐
//	│ glass ├───────────────────┤ router ├───────────────────┤ ha │
//	└───────┘ 1::10        1::1 └────────┘ 9::fe       9::ff └────┘
func homeNet(t *testing.T) (glass, router, ha *lab.Host) {
	t.Helper()
	n := lab.New(t)
	glass, router, ha = n.Host("glass"), n.Host("router"), n.Host("ha")
	n.Link(router, glass, lab.Names("glass", "eth0"), lab.Wire())
	n.Link(router, ha, lab.Names("home", "eth0"), lab.Wire())
	router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	for _, a := range []struct {
		host         *lab.Host
		iface, addrs string
	}{{router, "glass", "2001:db8:1::1/64"}, {router, "home", "2001:db8:9::fe/64"}, {glass, "eth0", "2001:db8:1::10/64"}, {ha, "eth0", "2001:db8:9::ff/64"}} {
		a.host.Addr(a.iface, netip.MustParsePrefix(a.addrs))
	}
	everywhere := netip.MustParsePrefix("::/0")
	glass.Route(everywhere, netip.MustParseAddr("2001:db8:1::1"))
	ha.Route(everywhere, netip.MustParseAddr("2001:db8:9::fe"))
	return glass, router, ha
}

// registration is a Binding Update as it looks behind the home agent's data
// plane: home address in the header, care-of address in a retyped option.
func registration(t *testing.T, home netip.Addr, seq uint16) []byte {
	t.Helper()
	p := mipv6.Packet{Src: glassAddr, Dst: agentAddr, HomeAddress: home, HopLimit: 64}
	if err := p.Carry(&mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, HomeRegistration: true, Lifetime: 60 * time.Second}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	h, c := home.As16(), glassAddr.As16()
	option := bytes.Index(b, append([]byte{mipv6.OptionHomeAddress, 16}, h[:]...))
	b[option] = 0x1e
	copy(b[option+2:], c[:])
	copy(b[8:], h[:])
	return b
}

// The role on a real home link: what it says there, and what the kernel then
// does, judged by tshark and by the router.
func TestOnHomeLink(t *testing.T) {
	glass, router, ha := homeNet(t)
	taken := netip.MustParseAddr("2001:db8:9::2")
	router.Addr("home", netip.PrefixFrom(taken, 64))
	before := trace(t, ha)

	capture, err := router.Capture("home")
	if err != nil {
		t.Fatal(err)
	}
	var conn *mhsock.Socket
	var role *Role
	tunnels := planetest.New()
	if err := ha.Do(func() (err error) {
		if conn, err = mhsock.Open(nil); err != nil {
			return err
		}
		role, err = New(Config{Address: agentAddr, Prefix: homePrefix, Interface: "eth0"}, Deps{Plane: tunnels, MH: conn})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- role.Run(ctx) }()
	go mhsock.Each(ctx, conn.Receive, role.HandleMH)

	var raw *rawsock.Socket
	if err := glass.Do(func() (err error) {
		raw, err = rawsock.Open("test", 255, func(int) error { return nil })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, home := range []netip.Addr{contactAddr, taken} {
		if err := raw.Send(registration(t, home, 1), glassAddr, agentAddr); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.WaitFor(ctx, func() error {
		if c := role.Counters(); len(role.Bindings()) == 1 && c[CounterDuplicate] == 1 {
			return nil
		}
		return errors.New("not one registration and one duplicate")
	}); err != nil {
		t.Fatalf("%v: %v, %v", err, role.Bindings(), role.Counters())
	}
	if b := role.Bindings(); b[0].Home != contactAddr || b[0].CareOf != glassAddr {
		t.Errorf("bindings %v", b)
	}
	if got := trace(t, ha); !strings.Contains(got, contact+" ") {
		t.Errorf("no proxy entry:\n%s", got)
	}
	if err := role.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := trace(t, ha); got != before {
		t.Errorf("after Close:\n%s\nbefore New:\n%s", got, before)
	}
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	judge(t, capture)
}

// trace is what the role may change on the host.
func trace(t *testing.T, h *lab.Host) string {
	t.Helper()
	var all strings.Builder
	for _, command := range [][]string{
		{"ip", "-6", "neigh", "show", "proxy"},
		{"sysctl", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.all.proxy_ndp", "net.ipv6.neigh.eth0.proxy_delay"},
	} {
		out, err := h.Output(t.Context(), command[0], command[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(out)
	}
	return all.String()
}

func judge(t *testing.T, capture *lab.Capture) {
	t.Helper()
	for _, want := range []struct{ what, filter string }{
		{"duplicate address detection", "icmpv6.type == 135 && ipv6.src == :: && ipv6.dst == ff02::1:ff00:1 && ipv6.hlim == 255 && icmpv6.nd.ns.target_address == " + contact},
		{"gratuitous advertisement", "icmpv6.type == 136 && ipv6.src == " + agent + " && ipv6.dst == ff02::1 && ipv6.hlim == 255 && " +
			"icmpv6.nd.na.flag.o == 1 && icmpv6.nd.na.flag.s == 0 && icmpv6.nd.na.flag.r == 0 && icmpv6.nd.na.target_address == " + contact},
		{"the squatter's answer", "icmpv6.type == 136 && ipv6.dst == ff02::1 && icmpv6.nd.na.target_address == 2001:db8:9::2"},
		{"acceptance by routing header", "mip6.ba.status == 0 && ipv6.routing.type == 2 && ipv6.src == " + agent},
		{"refusal by routing header", "mip6.ba.status == 134 && ipv6.routing.type == 2 && ipv6.src == " + agent},
	} {
		n, err := capture.Count(t.Context(), want.filter)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			frames, err := capture.Frames(t.Context(), "")
			t.Errorf("no %s in the capture (%v):\n%s", want.what, err, strings.Join(frames, "\n"))
		}
	}
	problems, err := capture.Problems(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("in the capture: %v, %v", problems, err)
	}
}
