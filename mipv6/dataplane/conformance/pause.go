package conformance

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

var (
	owned  = dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}
	paused = dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Pause: true}
)

const (
	portOfOwner  = 4000
	portOfClient = discard
)

// pausing is a flow that near serves and replica relays, with datagrams both ways.
type pausing struct {
	planes
	top      *topology
	near     dataplane.Plane
	flow     dataplane.Flow
	up, down net.Conn       // the client's, the owner's
	toOwner  net.PacketConn // where the client's arrive
	toClient net.PacketConn
}

func newPausing(t *testing.T, b Backend, via dataplane.RouteKind, client func(*topology) (*lab.Host, netip.Addr)) *pausing {
	t.Helper()
	p := &pausing{top: newTopology(t, ordinary(), lab.Wire())}
	p.planes = start(t, p.top, b)
	needs(t, p.replica, keeps)
	p.near = b.New(t, p.top.near, "eth0")
	t.Cleanup(func() {
		if err := p.near.Close(); err != nil {
			t.Errorf("closing the plane of near: %v", err)
		}
	})
	host, addr := client(p.top)
	p.flow = dataplane.Flow{Home: contactAddr, Client: addr}
	relayed(t, p.planes, p.near, p.flow, via)
	p.up, p.toOwner = datagrams(t, host, addr, p.top.near, netip.AddrPortFrom(contactAddr, portOfOwner))
	p.down, p.toClient = datagrams(t, p.top.near, contactAddr, host, netip.AddrPortFrom(addr, portOfClient))
	return p
}

// settled waits until so many packets were kept at the replica.
func (p *pausing) settled(t *testing.T, kept uint64) {
	t.Helper()
	settled(t, p.replica, kept)
}

// What the owner sends during a pause goes on when that ends: once, in its order,
// before what comes later, and in the form that the route has then. What the client
// sends reaches the owner all the time.
func testPause(t *testing.T, b Backend) {
	const whose = "udp.dstport == 9 && ipv6.src == "
	for _, c := range []struct {
		via    dataplane.RouteKind
		client func(*topology) (*lab.Host, netip.Addr)
		form   string
	}{
		{dataplane.Optimised, modernClient, whose + "2001:db8:1::10 && ipv6.opt.type == 201 && !(ipv6.nxt == 41)"},
		{dataplane.Tunnelled, legacyClient, whose + "2001:db8:1::10 && ipv6.dst == 2001:db8:9::ff && ipv6.nxt == 41"},
		{dataplane.Direct, legacyClient, whose + "2001:db8:9::1 && !(ipv6.nxt == 41)"},
	} {
		t.Run(c.via.String(), func(t *testing.T) {
			p := newPausing(t, b, c.via, c.client)
			goesOn := owned
			goesOn.Via = c.via
			const rounds, each = 2, 50
			seen := capture(t, p.top.access, "core", func() {
				for round := range rounds {
					first := 100 * (round + 1)
					must(t, p.replica.SetRoute(p.flow, paused), p.replica.SetRoute(p.flow, paused))
					numbered(t, p.down, first, first+each-1)
					p.settled(t, uint64(each*(round+1)))
					silent(t, p.toClient)
					numbered(t, p.up, first, first+9)
					inOrder(t, p.toOwner, first, first+9)
					must(t, p.replica.SetRoute(p.flow, goesOn))
					numbered(t, p.down, first+each, first+2*each-1)
					inOrder(t, p.toClient, first, first+2*each-1)
				}
				silent(t, p.toClient)
			})
			all := func(n int) bool { return n == 2*rounds*each }
			count(t, seen, c.form, all)
			count(t, seen, "udp.dstport == 9 && !icmpv6", all)
			counters := p.replica.Counters()
			for name, want := range map[string]uint64{
				dataplane.CounterKept: rounds * each, dataplane.CounterKeptReleased: rounds * each, dataplane.CounterKeptDropped: 0,
				dataplane.CounterRelayFromPeer: 2 * rounds * each,
			} {
				if counters[name] != want {
					t.Errorf("%d counted as %s, want %d", counters[name], name, want)
				}
			}
		})
	}
}

// What was kept of a flow that the owner serves no more is given up.
func testPauseGivenUp(t *testing.T, b Backend) {
	p := newPausing(t, b, dataplane.Optimised, modernClient)
	goesOn := owned
	goesOn.Via = dataplane.Optimised
	n := 0
	for _, c := range []struct {
		name string
		end  func() error
	}{
		{"held", func() error { return p.replica.SetRoute(p.flow, dataplane.Route{Kind: dataplane.Held}) }},
		{"held and kept", func() error { return p.replica.SetRoute(p.flow, heldKeep) }},
		{"served here", func() error {
			return p.replica.SetRoute(p.flow, dataplane.Route{Kind: dataplane.Optimised, Peer: nearAddr})
		}},
		{"served here, tunnelled", func() error { return p.replica.SetRoute(p.flow, dataplane.Route{Kind: dataplane.Tunnelled}) }},
		{"served here, relayed", func() error {
			return p.replica.SetRoute(p.flow, dataplane.Route{Kind: dataplane.Relayed, Peer: nearAddr})
		}},
		{"removed", func() error { return p.replica.RemoveRoute(p.flow) }},
		{"contact removed", func() error { return p.replica.RemoveContact(contactAddr) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, p.replica.SetContact(contact), p.replica.SetRoute(p.flow, paused))
			numbered(t, p.down, 1, 3)
			n += 3
			p.settled(t, uint64(n))
			must(t, c.end())
			numbered(t, p.down, 4, 5)
			silent(t, p.toClient)
			must(t, p.replica.SetContact(contact), p.replica.SetRoute(p.flow, goesOn))
			numbered(t, p.down, 7, 7)
			inOrder(t, p.toClient, 7, 7)
			if got := p.replica.Counters()[dataplane.CounterKeptDropped]; got != uint64(n) {
				t.Errorf("%d kept packets were dropped, want %d", got, n)
			}
		})
	}
}

// What is kept of the one direction does not meet what is kept of the other.
func testPauseKeep(t *testing.T, b Backend) {
	p := newPausing(t, b, dataplane.Tunnelled, legacyClient)
	must(t, p.replica.SetRoute(p.flow, heldKeep))
	numbered(t, p.up, 1, 20)
	p.settled(t, 20)
	must(t, p.replica.SetRoute(p.flow, paused)) // the owner gets what was kept for it
	numbered(t, p.up, 21, 40)
	inOrder(t, p.toOwner, 1, 40)
	numbered(t, p.down, 101, 120)
	p.settled(t, 40)
	silent(t, p.toClient)
	// The owner begins to hand the flow to us: what it sent goes on, what it gives back
	// is kept.
	returns := owned
	returns.From, returns.Keep = nearAddr, true
	must(t, p.replica.SetRoute(p.flow, returns))
	numbered(t, p.down, 121, 140)
	inOrder(t, p.toClient, 101, 140)
	must(t, p.near.SetRoute(p.flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, From: replicaAddr}))
	numbered(t, p.up, 41, 60)
	p.settled(t, 60)
	// It comes to nothing, and there is a pause again.
	must(t, p.near.SetRoute(p.flow, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}), p.replica.SetRoute(p.flow, paused))
	inOrder(t, p.toOwner, 41, 60)
	numbered(t, p.down, 141, 160)
	p.settled(t, 80)
	silent(t, p.toClient)
	must(t, p.replica.SetRoute(p.flow, owned))
	inOrder(t, p.toClient, 141, 160)
	if n := p.replica.Counters()[dataplane.CounterKeptDropped]; n != 0 {
		t.Errorf("%d kept packets were dropped", n)
	}
}

// One connection of a client pauses, its others do not; the owner was heard.
func testPauseConnection(t *testing.T, b Backend) {
	p := newPausing(t, b, dataplane.Tunnelled, legacyClient)
	needs(t, p.replica, func(f dataplane.Features) bool { return f.Connections })
	connection := p.flow
	connection.HomePort = netip.MustParseAddrPort(p.down.LocalAddr().String()).Port()
	connection.ClientPort = portOfClient
	must(t, p.replica.SetRoute(connection, paused))
	numbered(t, p.down, 1, 10)
	p.settled(t, 10)
	other := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.flow.Client, portOfClient))
	if _, err := p.toOwner.WriteTo(binary.BigEndian.AppendUint32(nil, 99), other); err != nil {
		t.Fatal(err)
	}
	inOrder(t, p.toClient, 99, 99)
	if heard, err := p.replica.(dataplane.Hearer).Heard(connection); !heard || err != nil {
		t.Errorf("the owner was heard: %v, %v", heard, err)
	}
	must(t, p.replica.SetRoute(connection, owned))
	inOrder(t, p.toClient, 1, 10)
}

// What is too much gives way to what was sent later.
func testPauseBounds(t *testing.T, b Backend) {
	const flowPackets, chunk, chunks = 8192, 1000, 9 // both backends' default
	p := newPausing(t, b, dataplane.Tunnelled, legacyClient)
	roomy(t, p.toClient.(*net.UDPConn))
	must(t, p.replica.SetRoute(p.flow, paused))
	for i := range chunks {
		numbered(t, p.down, i*chunk+1, (i+1)*chunk)
		p.settled(t, uint64((i+1)*chunk))
	}
	const more = chunk*chunks - flowPackets
	must(t, p.replica.SetRoute(p.flow, owned))
	inOrder(t, p.toClient, more+1, chunk*chunks)
	if n := p.replica.Counters()[dataplane.CounterKeptDropped]; n != more {
		t.Errorf("%d kept packets were dropped, want %d", n, more)
	}
}

// roomy lets a socket hold all that comes at once.
func roomy(t *testing.T, c *net.UDPConn) {
	t.Helper()
	const room = 64 << 20
	raw, err := c.SyscallConn()
	must(t, err)
	var set error
	must(t, raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) }))
	must(t, set)
}

// A bulk transfer of the owner's, in superpackets, survives pauses without losing a
// segment.
func testPauseBulk(t *testing.T, b Backend) {
	for _, c := range []struct {
		via    dataplane.RouteKind
		client func(*topology) (*lab.Host, netip.Addr)
	}{{dataplane.Tunnelled, legacyClient}, {dataplane.Optimised, modernClient}} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/cut=%v", c.via, cut), func(t *testing.T) {
				links := ordinary()
				links.cut = cut
				top := newTopology(t, links)
				p := start(t, top, b)
				needs(t, p.replica, keeps)
				near := b.New(t, top.near, "eth0")
				defer func() { must(t, near.Close()) }()
				host, addr := c.client(top)
				f := dataplane.Flow{Home: contactAddr, Client: addr}
				relayed(t, p, near, f, c.via)
				conn := connect(t, host, addr, top.near, contactAddr)
				must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: c.via, Pause: true}))
				done := make(chan error, 1)
				go func() { done <- transfer(conn.far, conn.near, 8_000_000) }()
				settled(t, p.replica, 1)
				for running, pause := true, false; running; pause = !pause {
					must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: c.via, Pause: pause}))
					select {
					case err := <-done:
						must(t, err)
						running = false
					case <-time.After(2 * time.Millisecond):
					}
				}
				must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: c.via}))
				conn.exchange(t, 1_000_000)
				conn.end(t)
				counters := p.replica.Counters()
				if counters[dataplane.CounterKept] == 0 || counters[dataplane.CounterKeptDropped] != 0 || counters[dataplane.CounterDropRoom] != 0 {
					t.Errorf("%d packets kept, %d of them dropped; %d found no room", counters[dataplane.CounterKept],
						counters[dataplane.CounterKeptDropped], counters[dataplane.CounterDropRoom])
				}
			})
		}
	}
}

// Nobody but the owner, and who may speak for it, puts anything into a pause.
func testPauseStrangers(t *testing.T, b Backend) {
	p := newPausing(t, b, dataplane.Optimised, modernClient)
	must(t, p.replica.SetRoute(p.flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: legacyAddr, Via: dataplane.Optimised, Pause: true}))
	before := p.replica.Counters()[dataplane.CounterDropForeignTunnel]
	sendRaw(t, p.top.near, inside(t, nearAddr, replicaAddr, datagram(t, contactAddr, clientAddr, "")))
	ping(t, p.top.near, replicaAddr, 56)
	// Nor this host, which does not own the flow.
	sendRaw(t, p.top.replica, datagram(t, contactAddr, clientAddr, ""))
	counters := p.replica.Counters()
	if counters[dataplane.CounterKept] != 0 || counters[dataplane.CounterDropForeignTunnel] == before {
		t.Errorf("%d packets of strangers were kept, %d dropped", counters[dataplane.CounterKept], counters[dataplane.CounterDropForeignTunnel]-before)
	}
}

// A flow that is optimised takes what a replica relays to us, too: its client may
// believe in that one still.
func testOptimisedRelayed(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, relays)
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	moved := binding
	moved.CareOf = nearAddr
	must(t, p.agent.SetTunnel(tunnel), p.client.SetBinding(moved), p.replica.SetContact(contact), near.SetContact(there),
		near.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, Via: dataplane.Optimised}),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised, Peer: nearAddr}))
	up, received := datagrams(t, top.client, clientAddr, top.replica, netip.AddrPortFrom(contactAddr, portOfOwner))
	down, atClient := datagrams(t, top.replica, contactAddr, top.client, netip.AddrPortFrom(clientAddr, portOfClient))
	before := p.replica.Counters()[dataplane.CounterRelayedIn]
	numbered(t, up, 1, 20)
	inOrder(t, received, 1, 20)
	if n := p.replica.Counters()[dataplane.CounterRelayedIn] - before; n != 20 {
		t.Errorf("%d packets came by the relay, want 20", n)
	}
	must(t, p.client.SetBinding(binding))
	numbered(t, up, 21, 40)
	inOrder(t, received, 21, 40)
	numbered(t, down, 1, 20)
	inOrder(t, atClient, 1, 20)
	// Another replica's, and this one's without a word of it, are dropped.
	for _, peer := range []netip.Addr{legacyAddr, {}} {
		must(t, p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised, Peer: peer}))
		before := p.replica.Counters()[dataplane.CounterDropForeignTunnel]
		must(t, p.client.SetBinding(moved))
		numbered(t, up, 41, 41)
		must(t, lab.WaitFor(deadline(t), func() error {
			if p.replica.Counters()[dataplane.CounterDropForeignTunnel] == before {
				return fmt.Errorf("nothing dropped as foreign")
			}
			return nil
		}))
		silent(t, received)
	}
}
