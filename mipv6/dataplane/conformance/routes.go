package conformance

import (
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// IPv6 in IPv6 to and from the home agent: what a client without Mobile IPv6 has.
func testTunnelled(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))
	c := capture(t, top.replica, "eth0", func() {
		ping(t, top.legacy, contactAddr, 56)
		ping(t, top.replica, legacyAddr, 56, "-I", contactAddr.String())
		in := connect(t, top.legacy, legacyAddr, top.replica, contactAddr)
		in.exchange(t, 300_000)
		in.end(t)
		out := connect(t, top.replica, contactAddr, top.legacy, legacyAddr)
		out.exchange(t, 300_000)
		out.end(t)
	})
	count(t, c, "tcp && ipv6.nxt == 41", some)
	count(t, c, "(tcp || icmpv6.type == 128 || icmpv6.type == 129) && !(ipv6.nxt == 41)", none)
	count(t, c, "frame.len > 1514", none)
}

// Home Address option out, type 2 routing header in.
func testOptimised(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.client.SetBinding(binding),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised}))
	c := capture(t, top.replica, "eth0", func() {
		ping(t, top.client, contactAddr, 56)
		ping(t, top.replica, clientAddr, 56, "-I", contactAddr.String())
		in := connect(t, top.client, clientAddr, top.replica, contactAddr)
		in.exchange(t, 300_000)
		in.end(t)
		out := connect(t, top.replica, contactAddr, top.client, clientAddr)
		out.exchange(t, 300_000)
		out.end(t)
	})
	count(t, c, "tcp && ipv6.nxt == 41", none)
	count(t, c, "tcp && ipv6.opt.type == 201 && ipv6.src == 2001:db8:1::10", some)
	count(t, c, "tcp && ipv6.routing.type == 2 && ipv6.dst == 2001:db8:1::10", some)
	count(t, c, "frame.len > 1514", none)
}
