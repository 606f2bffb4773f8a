package conformance

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// routed declares everything that the client's flow needs to travel in this way.
func (p planes) routed(t *testing.T, kind dataplane.RouteKind) {
	t.Helper()
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	if kind == dataplane.Optimised {
		must(t, p.client.SetBinding(binding), p.replica.SetRoute(flow, dataplane.Route{Kind: kind}))
	}
}

var kinds = []dataplane.RouteKind{dataplane.Tunnelled, dataplane.Optimised}

// Both ends offer segments that leave room for the headers: the replica always,
// and the client where it knows of the headers.
func testSegmentSize(t *testing.T, b Backend) {
	const fits = 1500 - 40 - 60 // link, our headers, IPv6 and TCP headers
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			top := newTopology(t, ordinary(), lab.Wire())
			p := start(t, top, b)
			p.routed(t, kind)
			c := capture(t, top.replica, "eth0", func() {
				conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
				conn.exchange(t, 100_000)
				conn.end(t)
			})
			rows, err := c.Fields(deadline(t), "tcp.flags.syn == 1", "tcp.flags.ack", "tcp.options.mss_val")
			if err != nil || len(rows) != 2 {
				t.Fatalf("%d SYNs captured: %v", len(rows), err)
			}
			for _, row := range rows {
				mss, err := strconv.Atoi(row[1])
				if err != nil {
					t.Fatal(err)
				}
				fromReplica := row[0] == "1" || row[0] == "True"
				if want := kind == dataplane.Optimised || fromReplica; want && mss > fits {
					t.Errorf("MSS %d offered (from the replica: %v), want at most %d", mss, fromReplica, fits)
				}
			}
			count(t, c, "frame.len > 1514", none)
			count(t, c, "tcp.len == 1388", some) // 1400 less the timestamps: full segments
		})
	}
}

// Segments that the network interface cuts (GSO) and joins (GRO) take the same
// ways, at the home agent too.
func testSuperpackets(t *testing.T, b Backend) {
	for _, c := range []struct {
		kind dataplane.RouteKind
		cut  bool // on the way, by a router's link without offloads
	}{{dataplane.Tunnelled, false}, {dataplane.Tunnelled, true}, {dataplane.Optimised, false}, {dataplane.Optimised, true}} {
		t.Run(fmt.Sprintf("%v/cut=%v", c.kind, c.cut), func(t *testing.T) {
			links := ordinary()
			links.cut = c.cut
			top := newTopology(t, links)
			p := start(t, top, b)
			p.routed(t, c.kind)
			seen, err := top.replica.Capture("eth0", lab.Snaplen(120))
			if err != nil {
				t.Fatal(err)
			}
			conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
			conn.exchange(t, 20_000_000)
			conn.end(t)
			if err := seen.Stop(); err != nil {
				t.Fatal(err)
			}
			if c.kind != dataplane.Optimised || !b.Cuts {
				n, err := seen.Count(deadline(t), "frame.len > 3000 && ipv6.src == 2001:db8:1::10")
				if err != nil || n == 0 {
					t.Errorf("%d superpackets of ours, %v", n, err)
				}
			}
			if n := p.replica.Counters()[dataplane.CounterDropRoom]; n != 0 {
				t.Errorf("%d packets found no room for their header", n)
			}
		})
	}
}

// Between contact addresses of two replicas packets leave one tunnel for the
// other at the home agent, superpackets too.
func testBetweenContacts(t *testing.T, b Backend) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			links := ordinary()
			links.cut = cut
			top := newTopology(t, links)
			p := start(t, top, b)
			near := b.New(t, top.near, "eth0")
			defer func() { must(t, near.Close()) }()
			must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact),
				p.agent.SetTunnel(dataplane.Tunnel{Home: contact2Addr, CareOf: nearAddr, HomeAgent: agentAddr}),
				near.SetContact(dataplane.Contact{Home: contact2Addr, CareOf: nearAddr, HomeAgent: agentAddr}))
			conn := connect(t, top.replica, contactAddr, top.near, contact2Addr)
			conn.exchange(t, 5_000_000)
			conn.end(t)
			for _, plane := range []dataplane.Plane{p.replica, p.agent, near} {
				if n := plane.Counters()[dataplane.CounterDropRoom]; n != 0 {
					t.Errorf("%d packets found no room for their header", n)
				}
			}
		})
	}
}

// Datagrams longer than the route's MTU are cut by their sender, and every
// fragment is rewritten.
func testFragments(t *testing.T, b Backend) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			top := newTopology(t, ordinary(), lab.Wire())
			p := start(t, top, b)
			p.routed(t, kind)
			c := capture(t, top.replica, "eth0", func() {
				for _, size := range []int{1352, 1412, 1413, 4000} {
					ping(t, top.replica, clientAddr, size, "-I", contactAddr.String())
				}
			})
			count(t, c, "ipv6.fraghdr.offset > 0 && ipv6.src == 2001:db8:1::10", some)
			count(t, c, "frame.len > 1514", none)
			// In the other direction the home agent tells the client what fits first.
			ping(t, top.client, contactAddr, 4000, "-w", "5")
		})
	}
}
