package conformance

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

var (
	throughNear = dataplane.Route{Kind: dataplane.Relayed, Peer: nearAddr}
	waiting     = dataplane.Route{Kind: dataplane.Relayed, Peer: nearAddr, Pause: true}
	straight    = dataplane.Route{Kind: dataplane.Optimised, From: nearAddr}
)

// servedHere is a flow that replica serves and near relays, as the client believes.
func servedHere(t *testing.T, b Backend, opts ...lab.LinkOption) (top *topology, p planes, near dataplane.Plane) {
	t.Helper()
	top = newTopology(t, ordinary(), opts...)
	p = start(t, top, b)
	needs(t, p.replica, keeps)
	near = b.New(t, top.near, "eth0")
	t.Cleanup(func() {
		if err := near.Close(); err != nil {
			t.Errorf("closing the plane of near: %v", err)
		}
	})
	must(t, p.agent.SetTunnel(tunnel), p.client.SetBinding(toNear()), p.replica.SetContact(contact), near.SetContact(there),
		near.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, Via: dataplane.Optimised}),
		p.replica.SetRoute(flow, throughNear))
	return top, p, near
}

func toNear() dataplane.Binding {
	b := binding
	b.CareOf = nearAddr
	return b
}

// What this host sends in a flow that it serves itself, and that another replica
// relays, waits during a pause, and goes on the new way: straight, when the client is
// bound here, or as before. What comes goes on coming.
func testPauseOwn(t *testing.T, b Backend) {
	top, p, _ := servedHere(t, b, lab.Wire())
	up, received := datagrams(t, top.client, clientAddr, top.replica, netip.AddrPortFrom(contactAddr, portOfOwner))
	down, atClient := datagrams(t, top.replica, contactAddr, top.client, netip.AddrPortFrom(clientAddr, portOfClient))
	const each = 50
	kept := uint64(0)
	for round, c := range []struct {
		after dataplane.Route
		bound dataplane.Binding
		form  string
	}{
		{straight, binding, "ipv6.src == 2001:db8:1::10 && ipv6.opt.type == 201 && !(ipv6.nxt == 41)"},
		{throughNear, toNear(), "ipv6.dst == " + nearAddr.String() + " && ipv6.nxt == 41"},
		{dataplane.Route{Kind: dataplane.Tunnelled, Peer: nearAddr}, toNear(), "ipv6.dst == 2001:db8:9::ff && ipv6.nxt == 41"},
	} {
		first := 1000 * (round + 1)
		must(t, p.client.SetBinding(toNear()), p.replica.SetRoute(flow, throughNear))
		numbered(t, down, first, first+each-1)
		inOrder(t, atClient, first, first+each-1)
		must(t, p.replica.SetRoute(flow, waiting))
		seen := capture(t, top.replica, "eth0", func() {
			numbered(t, down, first+each, first+2*each-1)
			kept += each
			settled(t, p.replica, kept)
			silent(t, atClient)
			numbered(t, up, first, first+9)
			inOrder(t, received, first, first+9)
			must(t, p.client.SetBinding(c.bound), p.replica.SetRoute(flow, c.after))
			numbered(t, down, first+2*each, first+3*each-1)
			inOrder(t, atClient, first+each, first+3*each-1)
		})
		count(t, seen, "udp.dstport == 9 && "+c.form, func(n int) bool { return n == 2*each })
	}
	// Held, or without a route: it is given up.
	must(t, p.replica.SetRoute(flow, waiting))
	numbered(t, down, 1, 5)
	settled(t, p.replica, kept+5)
	must(t, p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Held}), p.replica.SetRoute(flow, waiting))
	numbered(t, down, 6, 10)
	settled(t, p.replica, kept+10)
	must(t, p.replica.RemoveRoute(flow))
	silent(t, atClient)
	counters := p.replica.Counters()
	if counters[dataplane.CounterKeptReleased] != kept || counters[dataplane.CounterKeptDropped] != 10 {
		t.Errorf("%d of what was kept went on, want %d; %d were dropped, want 10", counters[dataplane.CounterKeptReleased], kept,
			counters[dataplane.CounterKeptDropped])
	}
}

// A bulk transfer of our own, in superpackets, survives pauses without losing a
// segment.
func testPauseOwnBulk(t *testing.T, b Backend) {
	top, p, _ := servedHere(t, b)
	conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
	must(t, p.replica.SetRoute(flow, waiting))
	done := make(chan error, 1)
	go func() { done <- transfer(conn.far, conn.near, 8_000_000) }()
	settled(t, p.replica, 1)
	for running, pause := true, false; running; pause = !pause {
		r := throughNear
		r.Pause = pause
		must(t, p.replica.SetRoute(flow, r))
		select {
		case err := <-done:
			must(t, err)
			running = false
		case <-time.After(2 * time.Millisecond):
		}
	}
	must(t, p.replica.SetRoute(flow, waiting), p.client.SetBinding(binding), p.replica.SetRoute(flow, straight))
	conn.exchange(t, 1_000_000)
	conn.end(t)
	counters := p.replica.Counters()
	if counters[dataplane.CounterKept] == 0 || counters[dataplane.CounterKeptDropped] != 0 || counters[dataplane.CounterDropRoom] != 0 {
		t.Errorf("%d packets kept, %d of them dropped; %d found no room", counters[dataplane.CounterKept],
			counters[dataplane.CounterKeptDropped], counters[dataplane.CounterDropRoom])
	}
}
