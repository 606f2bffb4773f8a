package conformance

import (
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// Addresses of the laboratory; see topology.
var (
	contactAddr  = netip.MustParseAddr("2001:db8:9::1")
	contact2Addr = netip.MustParseAddr("2001:db8:9::2")
	agentAddr    = netip.MustParseAddr("2001:db8:9::ff")
	replicaAddr  = netip.MustParseAddr("2001:db8:1::10")
	nearAddr     = netip.MustParseAddr("2001:db8:1::20")
	clientAddr   = netip.MustParseAddr("2001:db8:a::10")
	legacyAddr   = netip.MustParseAddr("2001:db8:b::10")
)

// topology is the laboratory of this suite:
//
//	replica ── near                          agent
//	1::10 │    │ 1::20                         │ 9::ff
//	    ┌─┴────┴─┐          ┌──────┐           │
//	    │ access ├──────────┤ core ├───────────┘
//	    └────────┘ tunnel   └──┬───┘ home 9::/64
//	  a bridge and             │ path
//	  a router              ┌──┴───┐
//	                        │ edge │
//	                        └┬────┬┘
//	                  a::10  │    │ b::10
//	                      client  legacy
//
// Packets between replica and home agent cross the link "tunnel", those between
// a client and anybody the link "path": narrow ones are for path MTU discovery.
type topology struct {
	*lab.Net
	replica, near, access, core, agent, edge, client, legacy *lab.Host
}

// mtus are the MTUs of the two links. cut makes the links of near and the clients
// wires whatever the others are: superpackets are cut there.
type mtus struct {
	tunnel, path int
	cut          bool
}

func newTopology(t *testing.T, m mtus, opts ...lab.LinkOption) *topology {
	t.Helper()
	n := lab.New(t)
	top := &topology{Net: n}
	for _, h := range []struct {
		host    **lab.Host
		name    string
		forward bool
	}{
		{&top.replica, "replica", false}, {&top.near, "near", false},
		{&top.access, "access", true}, {&top.core, "core", true},
		{&top.agent, "agent", true}, {&top.edge, "edge", true},
		{&top.client, "client", false}, {&top.legacy, "legacy", false},
	} {
		*h.host = n.Host(h.name)
		if h.forward {
			(*h.host).Sysctl("net.ipv6.conf.all.forwarding", "1")
		}
	}

	link := func(a *lab.Host, ifaceA, addrA string, b *lab.Host, ifaceB, addrB string, mtu int, opts ...lab.LinkOption) {
		n.Link(a, b, append([]lab.LinkOption{lab.Names(ifaceA, ifaceB), lab.MTU(mtu)}, opts...)...)
		for _, e := range []struct {
			h           *lab.Host
			iface, addr string
		}{{a, ifaceA, addrA}, {b, ifaceB, addrB}} {
			if e.addr != "" {
				e.h.Addr(e.iface, netip.MustParsePrefix(e.addr))
			}
		}
	}
	const whole = 1500
	last := opts
	if m.cut {
		last = append(last, lab.Wire())
	}
	link(top.access, "replica", "", top.replica, "eth0", "2001:db8:1::10/64", whole, opts...)
	link(top.access, "near", "", top.near, "eth0", "2001:db8:1::20/64", whole, last...)
	top.access.Bridge("lan", "replica", "near")
	top.access.Addr("lan", netip.MustParsePrefix("2001:db8:1::1/64"))
	link(top.access, "core", "2001:db8:e::1/64", top.core, "access", "2001:db8:e::2/64", m.tunnel, opts...)
	link(top.core, "home", "2001:db8:9::fe/64", top.agent, "eth0", "2001:db8:9::ff/64", whole, opts...)
	link(top.core, "edge", "2001:db8:f::2/64", top.edge, "core", "2001:db8:f::1/64", m.path, opts...)
	link(top.edge, "client", "2001:db8:a::1/64", top.client, "eth0", "2001:db8:a::10/64", whole, last...)
	link(top.edge, "legacy", "2001:db8:b::1/64", top.legacy, "eth0", "2001:db8:b::10/64", whole, last...)

	route := func(h *lab.Host, to, via string) { h.Route(netip.MustParsePrefix(to), netip.MustParseAddr(via)) }
	route(top.replica, "::/0", "2001:db8:1::1")
	route(top.near, "::/0", "2001:db8:1::1")
	route(top.access, "::/0", "2001:db8:e::2")
	route(top.core, "2001:db8:1::/64", "2001:db8:e::1")
	route(top.core, "2001:db8:a::/64", "2001:db8:f::1")
	route(top.core, "2001:db8:b::/64", "2001:db8:f::1")
	route(top.agent, "::/0", "2001:db8:9::fe")
	route(top.edge, "::/0", "2001:db8:f::2")
	route(top.client, "::/0", "2001:db8:a::1")
	route(top.legacy, "::/0", "2001:db8:b::1")
	// What the home agent's role does by proxy neighbour discovery.
	for _, home := range []netip.Addr{contactAddr, contact2Addr} {
		route(top.core, home.String()+"/128", agentAddr.String())
	}
	return top
}

func ordinary() mtus { return mtus{tunnel: 1500, path: 1500} }

// planes of one test: those hosts that the system under test runs on.
type planes struct{ replica, agent, client dataplane.Plane }

var (
	contact = dataplane.Contact{Home: contactAddr, CareOf: replicaAddr, HomeAgent: agentAddr}
	tunnel  = dataplane.Tunnel{Home: contactAddr, CareOf: replicaAddr, HomeAgent: agentAddr}
	binding = dataplane.Binding{Local: clientAddr, Home: contactAddr, CareOf: replicaAddr}
	flow    = dataplane.Flow{Home: contactAddr, Client: clientAddr}
)
