package conformance

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// needs skips a part that a backend does not have.
func needs(t *testing.T, p dataplane.Plane, has func(dataplane.Features) bool) {
	t.Helper()
	if f := dataplane.FeaturesOf(p); !has(f) {
		t.Skipf("this backend or kernel does not have it: %+v", f)
	}
}

func relays(f dataplane.Features) bool { return f.Relay }

var (
	there      = dataplane.Contact{Home: contactAddr, CareOf: nearAddr, HomeAgent: agentAddr}
	legacyFlow = dataplane.Flow{Home: contactAddr, Client: legacyAddr}
)

// relayed sets up that near serves a flow which comes to replica.
func relayed(t *testing.T, p planes, near dataplane.Plane, f dataplane.Flow, via dataplane.RouteKind) {
	t.Helper()
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), near.SetContact(there),
		p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: via}),
		near.SetRoute(f, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}))
	if via == dataplane.Optimised {
		must(t, p.client.SetBinding(binding))
	}
}

// A flow that comes to one replica is served by another: by a client without
// Mobile IPv6 through the home agent's tunnel, or with the contact address as source
// straight back, and by one with it. Others stay where they are.
func testRelay(t *testing.T, b Backend) {
	for _, c := range []struct {
		via    dataplane.RouteKind
		client func(*topology) (*lab.Host, netip.Addr)
		out    string // how the replica sends on what the other sent
	}{
		{dataplane.Tunnelled, legacyClient, "tcp && ipv6.nxt == 41 && ipv6.src == 2001:db8:1::10 && ipv6.dst == 2001:db8:9::ff"},
		{dataplane.Direct, legacyClient, "tcp && !(ipv6.nxt == 41) && ipv6.src == 2001:db8:9::1"},
		{dataplane.Optimised, modernClient, "tcp && ipv6.opt.type == 201 && ipv6.src == 2001:db8:1::10"},
	} {
		t.Run(c.via.String(), func(t *testing.T) {
			top := newTopology(t, ordinary(), lab.Wire())
			p := start(t, top, b)
			needs(t, p.replica, relays)
			near := b.New(t, top.near, "eth0")
			defer func() { must(t, near.Close()) }()
			host, addr := c.client(top)
			relayed(t, p, near, dataplane.Flow{Home: contactAddr, Client: addr}, c.via)
			seen := capture(t, top.access, "core", func() {
				between := capture(t, top.near, "eth0", func() {
					ping(t, host, contactAddr, 56)
					conn := connect(t, host, addr, top.near, contactAddr)
					conn.exchange(t, 300_000)
					conn.end(t)
				})
				count(t, between, "tcp && ipv6.nxt == 41 && ipv6.src == 2001:db8:1::10 && ipv6.dst == 2001:db8:1::20", some)
				count(t, between, "tcp && ipv6.nxt == 41 && ipv6.src == 2001:db8:1::20 && ipv6.dst == 2001:db8:1::10", some)
				count(t, between, "tcp && !(ipv6.nxt == 41)", none)
				count(t, between, "frame.len > 1514", none)
			})
			count(t, seen, c.out, some)
			count(t, seen, "frame.len > 1514", none)
			counters := p.replica.Counters()
			for _, name := range []string{dataplane.CounterRelayToPeer, dataplane.CounterRelayFromPeer} {
				if counters[name] == 0 {
					t.Errorf("nothing counted as %s", name)
				}
			}
			// Somebody else's flow stays here.
			other, otherAddr := legacyClient(top)
			if host == other {
				other, otherAddr = modernClient(top)
			}
			conn := connect(t, other, otherAddr, top.replica, contactAddr)
			conn.exchange(t, 10_000)
			conn.end(t)
		})
	}
}

// Whether the peer was heard is known when it is not any more; what comes for it
// does not count, nor what it sent on another route.
func testHeard(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, keeps)
	hearer, ok := p.replica.(dataplane.Hearer)
	if !ok {
		t.Fatal("a backend that relays and keeps must know who was heard")
	}
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	heard := func(want bool) {
		t.Helper()
		must(t, p.replica.SetRoute(legacyFlow, heldKeep))
		if got, err := hearer.Heard(legacyFlow); got != want || err != nil {
			t.Errorf("heard: %v, %v, want %v", got, err, want)
		}
	}
	relayed(t, p, near, legacyFlow, dataplane.Tunnelled)
	_, received := datagrams(t, top.near, contactAddr, top.legacy, netip.AddrPortFrom(legacyAddr, 5000))
	send, owned := datagrams(t, top.legacy, legacyAddr, top.near, netip.AddrPortFrom(contactAddr, 4000))
	numbered(t, send, 1, 3)
	inOrder(t, owned, 1, 3)
	heard(false)
	say := func() {
		t.Helper()
		if _, err := owned.WriteTo([]byte{0, 0, 0, 7}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(legacyAddr, 5000))); err != nil {
			t.Fatal(err)
		}
	}
	relay := dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}
	must(t, p.replica.SetRoute(legacyFlow, relay))
	say()
	inOrder(t, received, 7, 7)
	must(t, p.replica.SetRoute(legacyFlow, relay)) // the same once more
	heard(true)
	heard(true)
	say() // nobody sends it on
	must(t, p.replica.SetRoute(legacyFlow, relay))
	heard(false)
}

func legacyClient(top *topology) (*lab.Host, netip.Addr) { return top.legacy, legacyAddr }
func modernClient(top *topology) (*lab.Host, netip.Addr) { return top.client, clientAddr }

// Superpackets are relayed too, and path MTU discovery works through a relay.
func testRelaySizes(t *testing.T, b Backend) {
	for _, c := range []struct {
		name string
		via  dataplane.RouteKind
		mtus mtus
	}{
		{"superpackets", dataplane.Tunnelled, ordinary()},
		{"superpackets cut", dataplane.Tunnelled, mtus{tunnel: 1500, path: 1500, cut: true}},
		{"superpackets optimised", dataplane.Optimised, ordinary()},
		{"narrow path", dataplane.Tunnelled, mtus{tunnel: 1500, path: 1300}},
		{"narrow path direct", dataplane.Direct, mtus{tunnel: 1500, path: 1300}},
		{"narrow path optimised", dataplane.Optimised, mtus{tunnel: 1500, path: 1400}},
		{"narrow tunnel", dataplane.Tunnelled, mtus{tunnel: 1400, path: 1500}},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := newTopology(t, c.mtus)
			p := start(t, top, b)
			needs(t, p.replica, relays)
			near := b.New(t, top.near, "eth0")
			defer func() { must(t, near.Close()) }()
			host, addr := legacyClient(top)
			if c.via == dataplane.Optimised {
				host, addr = modernClient(top)
			}
			relayed(t, p, near, dataplane.Flow{Home: contactAddr, Client: addr}, c.via)
			conn := connect(t, host, addr, top.near, contactAddr)
			must(t, transfer(conn.far, conn.near, 1_000_000), transfer(conn.near, conn.far, 1_000_000))
			conn.end(t)
			for name, plane := range map[string]dataplane.Plane{"replica": p.replica, "near": near} {
				if n := plane.Counters()[dataplane.CounterDropRoom]; n != 0 {
					t.Errorf("%s: %d packets found no room for their header", name, n)
				}
			}
		})
	}
}

// Each connection of a client goes its own way.
func testConnections(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, func(f dataplane.Features) bool { return f.Connections && f.Relay })
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), near.SetContact(there))

	here := connect(t, top.legacy, legacyAddr, top.replica, contactAddr)
	here.exchange(t, 10_000)
	l := listen(t, top.near, contactAddr)
	port := uint16(netip.MustParseAddrPort(l.Addr().String()).Port())
	const clientPort = 40404
	one := dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: port, ClientPort: clientPort}
	must(t, p.replica.SetRoute(one, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}),
		near.SetRoute(one, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}))
	there := dialFrom(t, top.legacy, netip.AddrPortFrom(legacyAddr, clientPort), l)
	there.exchange(t, 100_000)
	here.exchange(t, 100_000)
	if at, err := p.replica.LastUsed(one); err != nil || at.IsZero() {
		t.Errorf("connection last used: %v, %v", at, err)
	}

	// With all of the client elsewhere, the one that stays behind is still here.
	local := netip.MustParseAddrPort(here.near.LocalAddr().String())
	remote := netip.MustParseAddrPort(here.near.RemoteAddr().String())
	stays := dataplane.Flow{Home: contactAddr, Client: legacyAddr, HomePort: remote.Port(), ClientPort: local.Port()}
	must(t, p.replica.SetRoute(stays, dataplane.Route{Kind: dataplane.Tunnelled}),
		p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}),
		near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}))
	must(t, p.replica.RemoveRoute(one), near.RemoveRoute(one))
	here.exchange(t, 10_000)
	there.exchange(t, 10_000)
	there.end(t)
	here.end(t)
}

// Out with the contact address as source, in through the tunnel.
func testDirect(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, func(f dataplane.Features) bool { return f.Direct })
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Direct}))
	c := capture(t, top.replica, "eth0", func() {
		ping(t, top.legacy, contactAddr, 56)
		conn := connect(t, top.legacy, legacyAddr, top.replica, contactAddr)
		conn.exchange(t, 300_000)
		conn.end(t)
	})
	count(t, c, "tcp && ipv6.src == 2001:db8:9::1 && !(ipv6.nxt == 41)", some)
	count(t, c, "tcp && ipv6.nxt == 41 && ipv6.src == 2001:db8:1::10", none)
	count(t, c, "frame.len > 1514", none)
}

// Nobody but the declared replica gets anything relayed, and no packet is relayed
// for ever.
func testRelayStrangers(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, relays)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: legacyAddr}))
	fromContact, toContact := datagram(t, contactAddr, clientAddr, ""), datagram(t, clientAddr, contactAddr, "")
	last := func(b []byte) []byte {
		c := append([]byte(nil), b...)
		c[7] = 1
		return c
	}
	for _, c := range []struct {
		name   string
		packet []byte
		count  string
	}{
		{"a stranger as the peer", inside(t, nearAddr, replicaAddr, fromContact), dataplane.CounterDropForeignTunnel},
		{"a stranger as the home agent", inside(t, nearAddr, replicaAddr, toContact), dataplane.CounterDropForeignTunnel},
		{"to another client", inside(t, nearAddr, replicaAddr, datagram(t, contactAddr, legacyAddr, "")), dataplane.CounterDropForeignTunnel},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := p.replica.Counters()[c.count]
			wire := capture(t, top.access, "core", func() {
				sendRaw(t, top.near, c.packet)
				ping(t, top.near, replicaAddr, 56)
			})
			count(t, wire, "udp && !icmpv6", none)
			if p.replica.Counters()[c.count] == before {
				t.Errorf("nothing counted as %s", c.count)
			}
		})
	}
	before := p.replica.Counters()[dataplane.CounterDropHopLimit]
	sendRaw(t, top.agent, inside(t, agentAddr, replicaAddr, last(toContact)))
	ping(t, top.agent, replicaAddr, 56)
	if p.replica.Counters()[dataplane.CounterDropHopLimit] == before {
		t.Error("a packet with no hop left was relayed")
	}
	// Two that relay to each other: the packet goes to and fro, and dies.
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	must(t, near.SetContact(there),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, From: nearAddr}),
		near.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, From: replicaAddr}))
	sendRaw(t, top.agent, inside(t, agentAddr, replicaAddr, toContact))
	err := lab.WaitFor(deadline(t), func() error {
		if n := p.replica.Counters()[dataplane.CounterDropHopLimit] + near.Counters()[dataplane.CounterDropHopLimit]; n < before+2 {
			return fmt.Errorf("%d packets dropped for their hop limit", n)
		}
		return nil
	})
	must(t, err)
}

// Signalling is not relayed: a home test of a flow that is served elsewhere comes
// to where the home agent sends it.
func testRelaySignalling(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, relays)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}))
	replica, client := openMH(t, top.replica), openMH(t, top.client)
	out := mipv6.Packet{Src: contactAddr, Dst: clientAddr, HopLimit: 64}
	back := mipv6.Packet{Src: clientAddr, Dst: contactAddr, HopLimit: 64}
	must(t, out.Carry(&mipv6.HomeTestInit{Cookie: mipv6.Cookie{1}}, nil), replica.Send(&out),
		back.Carry(&mipv6.HomeTest{Cookie: mipv6.Cookie{1}}, nil), client.Send(&back))
	if got, err := client.Receive(deadline(t)); err != nil || got.Src != contactAddr {
		t.Errorf("home test init: %+v, %v", got, err)
	}
	if got, err := replica.Receive(deadline(t)); err != nil || got.Src != clientAddr {
		t.Errorf("home test: %+v, %v", got, err)
	}
}
