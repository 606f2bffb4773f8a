package conformance

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

var further = dataplane.CareOf{Home: contactAddr, CareOf: nearAddr}

// flowTunneler is the home agent's plane as one, or the end of the test.
func flowTunneler(t *testing.T, p dataplane.Plane) dataplane.FlowTunneler {
	t.Helper()
	needs(t, p, func(f dataplane.Features) bool { return f.FlowTunnels })
	f, ok := dataplane.FlowTunnelerOf(p)
	if !ok {
		t.Fatal("the plane says that it has flow bindings, but is no FlowTunneler")
	}
	return f
}

// A connection with a flow binding goes from the home agent straight to the
// replica that serves it, and back; the others, and those of other clients, go where
// the tunnel leads. So does the connection when its binding is removed.
func testFlowTunnels(t *testing.T, b Backend) {
	for _, c := range []struct {
		name  string
		mtus  mtus
		other bool // the next hop to near is another one
	}{
		{"straight", ordinary(), false},
		{"another next hop", ordinary(), true},
		{"narrow tunnel", mtus{tunnel: 1400, path: 1500}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := newTopology(t, c.mtus, lab.Wire())
			if c.other {
				top.core.Addr("home", netip.MustParsePrefix("2001:db8:9::fd/64"))
				top.agent.Route(netip.PrefixFrom(nearAddr, 128), netip.MustParseAddr("2001:db8:9::fd"))
			}
			p := start(t, top, b)
			agent := flowTunneler(t, p.agent)
			near := b.New(t, top.near, "eth0")
			defer func() { must(t, near.Close()) }()
			must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), near.SetContact(there), agent.SetCareOf(further))

			l := listen(t, top.near, contactAddr)
			port := netip.MustParseAddrPort(l.Addr().String()).Port()
			const clientPort = 40404
			one := dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: port, ClientPort: clientPort}
			must(t, agent.SetFlowTunnel(dataplane.FlowTunnel{Flow: one, CareOf: nearAddr}))
			before := p.agent.Counters()
			at := capture(t, top.replica, "eth0", func() {
				conn := dialFrom(t, top.legacy, netip.AddrPortFrom(legacyAddr, clientPort), l)
				conn.exchange(t, 300_000)
				conn.end(t)
			})
			count(t, at, "tcp", none)
			counted(t, p.agent, dataplane.CounterHomeAgentFlow, before)
			if n := near.Counters()[dataplane.CounterTunnelledIn]; n == 0 {
				t.Error("nothing came to the flow's replica")
			}
			for _, client := range []func(*topology) (*lab.Host, netip.Addr){legacyClient, modernClient} {
				host, addr := client(top)
				conn := connect(t, host, addr, top.replica, contactAddr)
				conn.exchange(t, 10_000)
				conn.end(t)
			}
			must(t, agent.RemoveFlowTunnel(one))
			at = capture(t, top.replica, "eth0", func() { ping(t, top.legacy, contactAddr, 56) })
			count(t, at, "icmpv6.type == 129", some)
			// All of a client.
			must(t, agent.SetFlowTunnel(dataplane.FlowTunnel{Flow: one.ClientFlow(), CareOf: nearAddr}))
			at = capture(t, top.replica, "eth0", func() { ping(t, top.legacy, contactAddr, 56) })
			count(t, at, "icmpv6.type == 129", none)
			// Without, it comes by the replica, which relays it; the answer goes straight.
			must(t, agent.RemoveFlowTunnel(one.ClientFlow()),
				p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}),
				near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Tunnelled, Peer: replicaAddr}))
			at = capture(t, top.replica, "eth0", func() { ping(t, top.legacy, contactAddr, 56) })
			count(t, at, "icmpv6.type == 128", some)
			count(t, at, "icmpv6.type == 129", none)
		})
	}
}

// Only what comes from a declared care-of address is forwarded.
func testFurtherCareOf(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	agent := flowTunneler(t, p.agent)
	must(t, p.agent.SetTunnel(tunnel))
	packet := inside(t, nearAddr, agentAddr, datagram(t, contactAddr, legacyAddr, ""))
	arrives := func(want func(int) bool) {
		t.Helper()
		c := capture(t, top.legacy, "eth0", func() {
			sendRaw(t, top.near, packet)
			ping(t, top.near, legacyAddr, 56)
		})
		count(t, c, "udp && ipv6.src == 2001:db8:9::1 && !icmpv6", want)
	}
	arrives(none)
	must(t, agent.SetCareOf(further))
	arrives(some)
	must(t, agent.RemoveCareOf(further))
	arrives(none)
}

// What is declared of flow bindings is in State, may be said again, and goes with
// the tunnel.
func testFlowTunnelState(t *testing.T, b Backend) {
	top := newTopology(t, ordinary())
	p := b.New(t, top.agent, "eth0")
	defer func() { must(t, p.Close()) }()
	agent := flowTunneler(t, p)
	one := dataplane.FlowTunnel{Flow: legacyFlow, CareOf: nearAddr}
	two := dataplane.FlowTunnel{Flow: dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: 80, ClientPort: 40000}, CareOf: nearAddr}
	if err := errors.Join(agent.SetCareOf(further), agent.SetFlowTunnel(one)); !errors.Is(err, dataplane.ErrNoTunnel) {
		t.Errorf("without a tunnel: %v", err)
	}
	must(t, p.SetTunnel(tunnel))
	if err := agent.SetFlowTunnel(dataplane.FlowTunnel{Flow: dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: 80}, CareOf: nearAddr}); !errors.Is(err, dataplane.ErrPorts) {
		t.Errorf("one port: %v", err)
	}
	if err := agent.SetFlowTunnel(dataplane.FlowTunnel{Flow: legacyFlow, CareOf: contactAddr}); !errors.Is(err, dataplane.ErrInvalid) {
		t.Errorf("home address as care-of address: %v", err)
	}
	options := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}
	want := dataplane.State{Tunnels: []dataplane.Tunnel{tunnel}, FlowTunnels: []dataplane.FlowTunnel{one, two}, CareOfs: []dataplane.CareOf{further}}
	for range 2 {
		must(t, agent.SetFlowTunnel(two), agent.SetFlowTunnel(one), agent.SetCareOf(further), p.SetTunnel(tunnel))
		if d := cmp.Diff(want, p.State(), options...); d != "" {
			t.Fatalf("state (-want +got):\n%s", d)
		}
	}
	moved := two
	moved.CareOf = replicaAddr
	must(t, agent.SetFlowTunnel(moved))
	want.FlowTunnels[1] = moved
	if d := cmp.Diff(want, p.State(), options...); d != "" {
		t.Fatalf("moved (-want +got):\n%s", d)
	}
	for range 2 {
		must(t, agent.RemoveFlowTunnel(one.Flow))
	}
	must(t, p.RemoveTunnel(contactAddr))
	if d := cmp.Diff(dataplane.State{}, p.State(), options...); d != "" {
		t.Errorf("state after the tunnel was removed (-want +got):\n%s", d)
	}
	for range 2 {
		must(t, agent.RemoveCareOf(further), agent.RemoveFlowTunnel(two.Flow))
	}
}
