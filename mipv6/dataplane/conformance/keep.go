package conformance

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

func keeps(f dataplane.Features) bool { return f.Keep && f.Relay }

var heldKeep = dataplane.Route{Kind: dataplane.Held, Keep: true}

// numbered sends datagrams with the numbers from first to last.
func numbered(t *testing.T, c net.Conn, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// inOrder wants the datagrams with the numbers from first to last, all and in
// their order.
func inOrder(t *testing.T, c net.PacketConn, first, last int) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	for want := first; want <= last; want++ {
		n, _, err := c.ReadFrom(b[:])
		if err != nil {
			t.Fatalf("datagram %d: %v", want, err)
		}
		if got := int(binary.BigEndian.Uint32(b[:n])); got != want {
			t.Fatalf("datagram %d came, want %d", got, want)
		}
	}
}

// silent wants nothing to have come.
func silent(t *testing.T, c net.PacketConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	if n, from, err := c.ReadFrom(b[:]); err == nil {
		t.Fatalf("%d bytes came from %v while nothing should", n, from)
	}
}

// datagrams opens a socket on one host and one on another that sends to it.
func datagrams(t *testing.T, from *lab.Host, source netip.Addr, to *lab.Host, destination netip.AddrPort) (net.Conn, net.PacketConn) {
	t.Helper()
	var receiver net.PacketConn
	var sender net.Conn
	err := to.Do(func() (err error) {
		receiver, err = net.ListenPacket("udp6", destination.String())
		return err
	})
	must(t, err)
	t.Cleanup(func() { receiver.Close() })
	err = from.Do(func() (err error) {
		sender, err = net.DialUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.UDPAddrFromAddrPort(destination))
		return err
	})
	must(t, err)
	t.Cleanup(func() { sender.Close() })
	return sender, receiver
}

// settled waits until so many packets were kept.
func settled(t *testing.T, p dataplane.Plane, kept uint64) {
	t.Helper()
	must(t, lab.WaitFor(deadline(t), func() error {
		if n := p.Counters()[dataplane.CounterKept]; n < kept {
			return fmt.Errorf("%d packets kept, want %d", n, kept)
		}
		return nil
	}))
}

// What comes while a flow keeps is delivered when its route does, in its order,
// and nothing before; by each way that a flow may come.
func testKeep(t *testing.T, b Backend) {
	for _, c := range []struct {
		kind   dataplane.RouteKind
		client func(*topology) (*lab.Host, netip.Addr)
	}{{dataplane.Tunnelled, legacyClient}, {dataplane.Optimised, modernClient}, {dataplane.Direct, legacyClient}} {
		t.Run(c.kind.String(), func(t *testing.T) {
			top := newTopology(t, ordinary(), lab.Wire())
			p := start(t, top, b)
			needs(t, p.replica, keeps)
			host, addr := c.client(top)
			f := dataplane.Flow{Home: contactAddr, Client: addr}
			delivers := dataplane.Route{Kind: c.kind}
			must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.replica.SetRoute(f, delivers))
			if c.kind == dataplane.Optimised {
				must(t, p.client.SetBinding(binding))
			}
			send, receive := datagrams(t, host, addr, top.replica, netip.AddrPortFrom(contactAddr, 4000))
			numbered(t, send, 1, 10)
			inOrder(t, receive, 1, 10)
			for round := range 3 {
				first := 100 * (round + 1)
				must(t, p.replica.SetRoute(f, heldKeep))
				numbered(t, send, first, first+49)
				settled(t, p.replica, uint64(50*(round+1)))
				silent(t, receive)
				must(t, p.replica.SetRoute(f, delivers))
				numbered(t, send, first+50, first+99)
				inOrder(t, receive, first, first+99)
			}
			counters := p.replica.Counters()
			if n := counters[dataplane.CounterKeptDropped]; n != 0 {
				t.Errorf("%d kept packets were dropped", n)
			}
			// Without keeping, what was kept is given up.
			must(t, p.replica.SetRoute(f, heldKeep))
			numbered(t, send, 1, 3)
			settled(t, p.replica, 153)
			must(t, p.replica.SetRoute(f, dataplane.Route{Kind: dataplane.Held}), p.replica.SetRoute(f, delivers))
			numbered(t, send, 7, 7)
			inOrder(t, receive, 7, 7)
			if n := p.replica.Counters()[dataplane.CounterKeptDropped]; n != 3 {
				t.Errorf("%d kept packets were dropped, want 3", n)
			}
			// Removing the route gives the flow, and what is kept of it, to the tunnel.
			must(t, p.replica.SetRoute(f, heldKeep))
			numbered(t, send, 8, 9)
			settled(t, p.replica, 155)
			must(t, p.replica.RemoveRoute(f))
			inOrder(t, receive, 8, 9)
		})
	}
}

// What the donor kept follows the client to the acceptor, and what the acceptor
// keeps of what the donor relays is delivered there: the data plane of a handoff.
func testKeepRelay(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, keeps)
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), near.SetContact(there))
	acceptor, received := datagrams(t, top.legacy, legacyAddr, top.near, netip.AddrPortFrom(contactAddr, 4000))
	must(t, p.replica.SetRoute(legacyFlow, heldKeep))
	numbered(t, acceptor, 1, 20)
	settled(t, p.replica, 20)

	// The acceptor gets ready to keep; the donor sends all on.
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Held, Keep: true, From: replicaAddr}),
		p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}))
	numbered(t, acceptor, 21, 40)
	settled(t, near, 40)
	silent(t, received)
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}))
	numbered(t, acceptor, 41, 60)
	inOrder(t, received, 1, 60)

	// The home agent is told; the donor's late packets still arrive, for a while.
	registered := tunnel
	registered.CareOf = nearAddr
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Tunnelled, From: replicaAddr}))
	numbered(t, acceptor, 61, 61)
	inOrder(t, received, 61, 61)
	must(t, p.agent.SetTunnel(registered))
	numbered(t, acceptor, 62, 62)
	inOrder(t, received, 62, 62)
	must(t, p.agent.SetTunnel(tunnel), near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Tunnelled}))
	before := near.Counters()[dataplane.CounterDropForeignTunnel]
	numbered(t, acceptor, 63, 63)
	must(t, lab.WaitFor(deadline(t), func() error {
		if near.Counters()[dataplane.CounterDropForeignTunnel] == before {
			return fmt.Errorf("nothing dropped as foreign")
		}
		return nil
	}))
	silent(t, received)
}

// The way to the owner leads past us, and the owner is about to hand us the flow:
// what comes goes there, what it gives back is kept, and nothing gets lost when all
// is kept here, and then delivered.
func testKeepReturned(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, keeps)
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), near.SetContact(there))
	send, owned := datagrams(t, top.legacy, legacyAddr, top.near, netip.AddrPortFrom(contactAddr, 4000))
	var received net.PacketConn
	must(t, top.replica.Do(func() (err error) {
		received, err = net.ListenPacket("udp6", netip.AddrPortFrom(contactAddr, 4000).String())
		return err
	}))
	defer received.Close()
	returns := dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, From: nearAddr, Keep: true}
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}), p.replica.SetRoute(legacyFlow, returns))
	numbered(t, send, 1, 20)
	inOrder(t, owned, 1, 20)
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, From: replicaAddr}))
	numbered(t, send, 21, 40)
	settled(t, p.replica, 20)
	// It comes to nothing: what was kept goes to the owner all the same.
	must(t, near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Relayed, Peer: replicaAddr}),
		p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr}))
	inOrder(t, owned, 21, 40)
	// It comes about.
	must(t, p.replica.SetRoute(legacyFlow, returns), near.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr, From: replicaAddr}))
	numbered(t, send, 41, 60)
	settled(t, p.replica, 40)
	must(t, p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Held, Keep: true, From: nearAddr}))
	numbered(t, send, 61, 80)
	settled(t, p.replica, 60)
	silent(t, received)
	must(t, p.replica.SetRoute(legacyFlow, dataplane.Route{Kind: dataplane.Tunnelled, From: nearAddr}))
	numbered(t, send, 81, 100)
	inOrder(t, received, 41, 100)
	if n := p.replica.Counters()[dataplane.CounterKeptDropped]; n != 0 {
		t.Errorf("%d kept packets were dropped", n)
	}
}

// A stranger's packet never reaches what is kept.
func testKeepStrangers(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	needs(t, p.replica, keeps)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.replica.SetRoute(flow, heldKeep))
	top.near.Route(netip.PrefixFrom(contactAddr, 128), replicaAddr)
	toContact := datagram(t, clientAddr, contactAddr, "")
	for _, packet := range [][]byte{
		inside(t, nearAddr, replicaAddr, toContact),
		inside(t, nearAddr, replicaAddr, datagram(t, contactAddr, clientAddr, "")),
		datagram(t, nearAddr, contactAddr, ""),
	} {
		sendRaw(t, top.near, packet)
	}
	ping(t, top.near, replicaAddr, 56)
	// Nor one that this host made, at the interface where packets are kept.
	sendRaw(t, top.replica, datagram(t, contactAddr, clientAddr, ""))
	if n := p.replica.Counters()[dataplane.CounterKept]; n != 0 {
		t.Errorf("%d packets of strangers were kept", n)
	}
}

// A bulk transfer in superpackets survives holds without losing a segment: the
// sender never retransmits.
func testKeepBulk(t *testing.T, b Backend) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			top := newTopology(t, ordinary())
			p := start(t, top, b)
			needs(t, p.replica, keeps)
			p.routed(t, kind)
			conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
			must(t, p.replica.SetRoute(flow, heldKeep))
			done := make(chan error, 1)
			go func() { done <- transfer(conn.near, conn.far, 60_000_000) }()
			settled(t, p.replica, 1)
			for running, hold := true, false; running; hold = !hold {
				route := dataplane.Route{Kind: kind}
				if hold {
					route = heldKeep
				}
				must(t, p.replica.SetRoute(flow, route))
				select {
				case err := <-done:
					must(t, err)
					running = false
				case <-time.After(2 * time.Millisecond):
				}
			}
			must(t, p.replica.SetRoute(flow, dataplane.Route{Kind: kind}))
			conn.exchange(t, 1_000_000)
			conn.end(t)
			counters := p.replica.Counters()
			if counters[dataplane.CounterKept] == 0 || counters[dataplane.CounterKeptDropped] != 0 {
				t.Errorf("%d packets kept, %d of them dropped", counters[dataplane.CounterKept], counters[dataplane.CounterKeptDropped])
			}
		})
	}
}
