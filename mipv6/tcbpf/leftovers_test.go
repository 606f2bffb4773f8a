package tcbpf_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/conformance"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

// A small laboratory: replica and home agent, which is also the client, on one
// link.
var (
	home     = netip.MustParseAddr("2001:db8:9::1")
	careOf   = netip.MustParseAddr("2001:db8:1::10")
	agent    = netip.MustParseAddr("2001:db8:1::ff")
	neighbor = netip.MustParseAddr("2001:db8:1::20")
)

func newPair(t *testing.T) (replica, other *lab.Host) {
	t.Helper()
	n := lab.New(t)
	replica, other = n.Host("replica"), n.Host("other")
	n.Link(replica, other, lab.Names("eth0", "eth0"), lab.Wire())
	replica.Addr("eth0", netip.PrefixFrom(careOf, 64))
	other.Addr("eth0", netip.PrefixFrom(agent, 64))
	other.Addr("eth0", netip.PrefixFrom(neighbor, 64))
	other.Sysctl("net.ipv6.conf.all.forwarding", "1")
	return replica, other
}

func declareAll(p dataplane.Plane) error {
	at := netip.MustParseAddr
	return errors.Join(
		p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}),
		p.SetContact(dataplane.Contact{Home: at("2001:db8:9::2"), CareOf: careOf, HomeAgent: agent}),
		p.SetRoute(dataplane.Flow{Home: home, Client: neighbor}, dataplane.Route{Kind: dataplane.Optimised}),
		p.SetRoute(dataplane.Flow{Home: home, Client: at("2001:db8:a::1")}, dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor}),
		p.SetRoute(dataplane.Flow{Home: home, Client: at("2001:db8:a::2")}, dataplane.Route{Kind: dataplane.Held, Keep: true}),
		p.SetRoute(dataplane.Flow{Home: home, Client: at("2001:db8:a::4")}, dataplane.Route{Kind: dataplane.RelayTo, Peer: neighbor, Pause: true}),
		p.SetRoute(dataplane.Flow{Home: home, Client: at("2001:db8:a::3"), HomePort: 80, ClientPort: 1}, dataplane.Route{Kind: dataplane.Relayed, Peer: neighbor}),
		p.SetBinding(dataplane.Binding{Local: careOf, Home: at("2001:db8:9::3"), CareOf: neighbor}),
		p.SetTunnel(dataplane.Tunnel{Home: at("2001:db8:9::4"), CareOf: neighbor, HomeAgent: careOf}),
	)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startChild starts a process that holds a plane on the host.
func startChild(t *testing.T, h *lab.Host) *lab.Process {
	t.Helper()
	p, err := h.Start([]string{os.Args[0]}, lab.Env(childVariable+"=1"))
	if err != nil {
		t.Fatal(err)
	}
	err = lab.WaitFor(within(t), func() error {
		if !strings.Contains(p.Tail(5), "ready") {
			return errors.New("the child is not ready: " + p.Tail(5))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A killed process leaves its programs on guard: nothing leaves unrewritten. The
// next one takes all it left away, and then is like the first.
func TestKilledProcessLeavesNoTrace(t *testing.T) {
	replica, other := newPair(t)
	before := conformance.Trace(t, replica)
	fresh := newPlane(t, replica, "eth0")
	clean := trace(t, replica)
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}

	p := startChild(t, replica)
	if err := p.Kill9(); err != nil {
		t.Fatal(err)
	}
	left := conformance.Trace(t, replica)
	for _, want := range []string{home.String(), "proto 145", "vanycast_egress"} {
		if !strings.Contains(left, want) {
			t.Errorf("the killed process left no %q: the test shows nothing", want)
		}
	}
	c, err := other.Capture("eth0")
	if err != nil {
		t.Fatal(err)
	}
	send(t, replica, home, neighbor)
	next := newPlane(t, replica, "eth0")
	send(t, replica, home, neighbor)
	if d := cmp.Diff(clean, trace(t, replica)); d != "" {
		t.Errorf("New did not take everything away (-fresh +after a dead one):\n%s", d)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]int{
		"udp && ipv6.src == 2001:db8:9::1":                                     0, // unrewritten
		"udp && !icmpv6 && ipv6.src == 2001:db8:1::10 && ipv6.opt.type == 201": 1, // while the process was dead
	} {
		if n, err := c.Count(within(t), filter); err != nil || n != want {
			t.Errorf("%d frames match %q, want %d (%v)", n, filter, want, err)
		}
	}
	if n := next.Counters()[dataplane.CounterDropContactGone]; n == 0 {
		t.Error("nothing counted as " + dataplane.CounterDropContactGone)
	}
	if err := errors.Join(declareAll(next), next.Close()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
		t.Errorf("Close left something (-before +after):\n%s", d)
	}
}

// trace is conformance.Trace without the numbers that the kernel gives programs
// and interfaces.
func trace(t *testing.T, h *lab.Host) string {
	t.Helper()
	return regexp.MustCompile(`\bid \d+|\b\d+: vany(?:cast|kept)\d*`).ReplaceAllString(conformance.Trace(t, h), "N")
}

// send sends a UDP packet whose source need not be an address of the host.
func send(t *testing.T, h *lab.Host, from, to netip.Addr) {
	t.Helper()
	packet := datagram(t, from, to)
	if err := h.Do(func() error { return sendRaw(packet) }); err != nil {
		t.Fatal(err)
	}
}

func TestOnePlanePerNamespace(t *testing.T) {
	replica, _ := newPair(t)
	p := newPlane(t, replica, "eth0")
	err := replica.Do(func() error {
		_, err := tcbpf.New(tcbpf.Config{Interface: "eth0"})
		return err
	})
	if !errors.Is(err, dataplane.ErrBusy) {
		t.Errorf("second New: %v, want ErrBusy", err)
	}
	if err := declareAll(p); err != nil {
		t.Errorf("the refused one disturbed the first: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// So does CleanUp, for a host that goes on with another data plane.
func TestCleanUpAfterKill(t *testing.T) {
	replica, _ := newPair(t)
	before := conformance.Trace(t, replica)
	p := startChild(t, replica)
	if err := p.Kill9(); err != nil {
		t.Fatal(err)
	}
	if conformance.Trace(t, replica) == before {
		t.Error("the killed process left nothing: the test shows nothing")
	}
	for range 2 { // the second time there is nothing
		if err := replica.Do(func() error { return tcbpf.CleanUp("eth0", nil) }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
			t.Errorf("CleanUp left something (-before +after):\n%s", d)
		}
	}
}
