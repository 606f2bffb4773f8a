package homelink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
	"github.com/vanycast/vanycast/tests/lab"
)

// The home link of the tests:
//
//	┌────┐ eth0          eth0 ┌────────┐
//	│ ha ├────────────────────┤ router │
//	└────┘ ::ff           ::fe └────────┘
//	         2001:db8:9::/64
var (
	agent   = netip.MustParseAddr("2001:db8:9::ff")
	router  = netip.MustParseAddr("2001:db8:9::fe")
	contact = netip.MustParseAddr("2001:db8:9::1")
)

const patience = 20 * time.Second

func homeNet(t *testing.T) (ha, r *lab.Host) {
	t.Helper()
	n := lab.New(t)
	ha, r = n.Host("ha"), n.Host("router")
	n.Link(ha, r)
	ha.Addr("eth0", netip.PrefixFrom(agent, 64))
	r.Addr("eth0", netip.PrefixFrom(router, 64))
	return ha, r
}

func open(t *testing.T, h *lab.Host) *Link {
	t.Helper()
	var l *Link
	if err := h.Do(func() (err error) { l, err = Open("eth0", nil); return err }); err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeLink(t, l) })
	return l
}

func closeLink(t *testing.T, l *Link) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func output(t *testing.T, h *lab.Host, name string, args ...string) string {
	t.Helper()
	out, err := h.Output(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func proxies(t *testing.T, h *lab.Host) string {
	return output(t, h, "ip", "-6", "neigh", "show", "proxy")
}

func sysctlState(t *testing.T, h *lab.Host) string {
	return output(t, h, "sysctl", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.all.proxy_ndp", "net.ipv6.neigh.eth0.proxy_delay")
}

// A neighbour that asks for a proxied address gets the home agent's link-layer
// address, at once; one that asks after RemoveProxy gets none.
func TestProxyAnswers(t *testing.T) {
	ha, r := homeNet(t)
	l := open(t, ha)
	if err := l.AddProxy(contact); err != nil {
		t.Fatal(err)
	}
	resolve := func() string {
		if err := r.Do(func() error {
			c, err := net.Dial("udp6", net.JoinHostPort(contact.String(), "9"))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("?"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var state string
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := lab.WaitFor(ctx, func() error {
			state = output(t, r, "ip", "-6", "neigh", "show", contact.String())
			if strings.Contains(state, "REACHABLE") || strings.Contains(state, "FAILED") {
				return nil
			}
			return fmt.Errorf("neighbour is %q", state)
		}); err != nil {
			t.Fatal(err)
		}
		return state
	}
	if got, want := resolve(), "lladdr "+l.HardwareAddr().String(); !strings.Contains(got, want) || strings.Contains(got, "router") {
		t.Errorf("the router's neighbour is %q, want %q and no router", got, want)
	}
	if err := l.RemoveProxy(contact); err != nil {
		t.Fatal(err)
	}
	r.IP("-6", "neigh", "flush", "dev", "eth0")
	if got := resolve(); !strings.Contains(got, "FAILED") {
		t.Errorf("the router's neighbour is %q after RemoveProxy", got)
	}
	if err := l.RemoveProxy(contact); err != nil {
		t.Errorf("RemoveProxy of what is not there: %v", err)
	}
}

// Close leaves the host as Open found it, and other people's entries alone.
func TestCloseLeavesNoTrace(t *testing.T) {
	ha, _ := homeNet(t)
	ha.Sysctl("net.ipv6.neigh.eth0.proxy_delay", "77")
	ha.IP("-6", "neigh", "add", "proxy", "2001:db8:9::77", "dev", "eth0")
	proxiesBefore, sysctlsBefore := proxies(t, ha), sysctlState(t, ha)
	l := open(t, ha)
	if err := l.AddProxy(contact); err != nil {
		t.Fatal(err)
	}
	if got := proxies(t, ha); !strings.Contains(got, contact.String()+" ") {
		t.Errorf("no proxy entry: %q", got)
	}
	if got := sysctlState(t, ha); strings.Count(got, "= 1\n") != 2 || !strings.Contains(got, "proxy_delay = 0\n") {
		t.Errorf("sysctls while open:\n%s", got)
	}
	closeLink(t, l)
	if got := proxies(t, ha); got != proxiesBefore {
		t.Errorf("proxy entries after Close:\n%s\nbefore Open:\n%s", got, proxiesBefore)
	}
	if got := sysctlState(t, ha); got != sysctlsBefore {
		t.Errorf("sysctls after Close:\n%s\nbefore Open:\n%s", got, sysctlsBefore)
	}
	if err := l.AddProxy(contact); !errors.Is(err, net.ErrClosed) {
		t.Errorf("AddProxy after Close: %v", err)
	}
}

// What a process that died had put there is gone after the next Open, and its
// Close restores what was before the first.
func TestOpenAfterCrash(t *testing.T) {
	ha, _ := homeNet(t)
	ha.Sysctl("net.ipv6.neigh.eth0.proxy_delay", "77")
	ha.IP("-6", "neigh", "add", "proxy", "2001:db8:9::77", "dev", "eth0")
	proxiesBefore, sysctlsBefore := proxies(t, ha), sysctlState(t, ha)
	dead := open(t, ha)
	if err := dead.AddProxy(contact); err != nil {
		t.Fatal(err)
	}
	// As the kernel does with a process that is killed: descriptors are
	// closed, nothing else.
	dead.closed = true
	for _, err := range []error{dead.socket.Close(), dead.queries.Close(), dead.sysctls.close(), dead.neigh.conn.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, ha)
	if got := proxies(t, ha); strings.Contains(got, contact.String()+" ") {
		t.Errorf("left over:\n%s", got)
	}
	closeLink(t, l)
	if got := proxies(t, ha); got != proxiesBefore {
		t.Errorf("proxy entries after Close:\n%s\nat first:\n%s", got, proxiesBefore)
	}
	if got := sysctlState(t, ha); got != sysctlsBefore {
		t.Errorf("sysctls after Close:\n%s\nat first:\n%s", got, sysctlsBefore)
	}
}

// The kernel's own duplicate address detection, on another host, is heard for
// watched addresses only.
func TestReceive(t *testing.T) {
	ha, r := homeNet(t)
	l := open(t, ha)
	if err := l.Watch(contact); err != nil {
		t.Fatal(err)
	}
	if err := l.Watch(contact); err != nil {
		t.Fatalf("second Watch: %v", err)
	}
	r.Sysctl("net.ipv6.conf.eth0.accept_dad", "1")
	r.Sysctl("net.ipv6.conf.eth0.dad_transmits", "1")
	r.IP("-6", "addr", "add", "2001:db8:9::2:5/64", "dev", "eth0") // not watched
	r.IP("-6", "addr", "add", contact.String()+"/64", "dev", "eth0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		n, err := l.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n.Target == contact {
			if !n.Src.IsUnspecified() || n.Advertisement {
				t.Errorf("heard %+v", n)
			}
			break
		}
		if n.Target != agent && n.Target != router && !n.Target.IsLinkLocalUnicast() {
			t.Errorf("heard %+v, which is not watched", n)
		}
	}
	for range 2 {
		if err := l.Unwatch(contact); err != nil {
			t.Errorf("Unwatch: %v", err)
		}
	}
	ended := make(chan error)
	go func() { _, err := l.Receive(t.Context()); ended <- err }()
	closeLink(t, l)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
}

// Two watched addresses that share a group: the one stays when the other goes.
func TestWatchSharesGroup(t *testing.T) {
	ha, _ := homeNet(t)
	l := open(t, ha)
	twin := netip.MustParseAddr("2001:db8:9:0:1::1")
	group := nd.SolicitedNode(contact).String()
	count := func() int {
		return strings.Count(output(t, ha, "ip", "-6", "maddr", "show", "dev", "eth0"), group+"\n")
	}
	for _, a := range []netip.Addr{contact, twin} {
		if err := l.Watch(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Unwatch(contact); err != nil {
		t.Fatal(err)
	}
	if count() != 1 {
		t.Errorf("the group is gone with the first address")
	}
	if err := l.Unwatch(twin); err != nil {
		t.Fatal(err)
	}
	if count() != 0 {
		t.Errorf("the group stays after the last address")
	}
}

// RFC 4861 §7.1: what has been through a router is not neighbour discovery.
func TestForwardedIsIgnored(t *testing.T) {
	ha, r := homeNet(t)
	l := open(t, ha)
	var raw *rawsock.Socket
	if err := r.Do(func() (err error) {
		raw, err = rawsock.Open("test", 255, func(int) error { return nil })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, hops := range []byte{254, 255} {
		p := neighbourPacket(hops)
		if err := raw.Send(p, router, agent); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		n, err := l.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n.Target == netip.AddrFrom16(targetOf(254)) {
			t.Fatalf("heard what came with hop limit 254")
		}
		if n.Target == netip.AddrFrom16(targetOf(255)) {
			return
		}
	}
}

func targetOf(hops byte) [16]byte {
	a := contact.As16()
	a[14] = hops
	return a
}

func TestOpenErrors(t *testing.T) {
	ha, _ := homeNet(t)
	err := ha.Do(func() error { _, err := Open("eth7", nil); return err })
	if err == nil || !strings.Contains(err.Error(), "eth7") {
		t.Errorf("Open of an interface that is not there: %v", err)
	}
}

// neighbourPacket is an advertisement of targetOf(hops) from the router.
func neighbourPacket(hops byte) []byte {
	m := nd.Message{Advertisement: true, Target: netip.AddrFrom16(targetOf(hops))}
	p := mipv6.Packet{Src: router, Dst: agent, HopLimit: hops, NextHeader: nd.Protocol, Payload: m.Marshal(router, agent)}
	b, err := p.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}
