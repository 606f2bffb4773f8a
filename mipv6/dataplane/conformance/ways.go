package conformance

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// A client on the replica's own link is reached directly when optimised, and by
// the home agent when not; its Mobility Headers always by the home agent.
func testOnLinkClient(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	near := b.New(t, top.near, "eth0")
	defer func() { must(t, near.Close()) }()
	onLink := dataplane.Flow{Home: contactAddr, Client: nearAddr}
	optimised := dataplane.Route{Kind: dataplane.Optimised}
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact))

	uplink := capture(t, top.access, "core", func() { ping(t, top.near, contactAddr, 56) })
	count(t, uplink, "icmpv6.type == 129", some)

	must(t, near.SetBinding(dataplane.Binding{Local: nearAddr, Home: contactAddr, CareOf: replicaAddr}), p.replica.SetRoute(onLink, optimised))
	replica, client := openMH(t, top.replica), openMH(t, top.near)
	uplink = capture(t, top.access, "core", func() {
		ping(t, top.near, contactAddr, 56)
		conn := connect(t, top.replica, contactAddr, top.near, nearAddr)
		conn.exchange(t, 100_000)
		conn.end(t)
		home := mipv6.Packet{Src: contactAddr, Dst: nearAddr, HopLimit: 64}
		must(t, home.Carry(&mipv6.HomeTestInit{Cookie: mipv6.Cookie{1}}, nil), replica.Send(&home))
		got, err := client.Receive(deadline(t))
		if err != nil || got.Src != contactAddr {
			t.Errorf("home test init: %+v, %v", got, err)
		}
	})
	count(t, uplink, "tcp || icmpv6.type == 128 || icmpv6.type == 129", none)
	count(t, uplink, "mipv6 && ipv6.nxt == 41", some)

	must(t, p.replica.RemoveRoute(onLink), near.RemoveBinding(nearAddr, contactAddr))
	ping(t, top.near, contactAddr, 56)
}

// Contact addresses of one replica do not disturb each other, and a removed one
// is gone.
func testSeveralContacts(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	second := dataplane.Contact{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: agentAddr}
	must(t, p.replica.SetContact(contact), p.replica.SetContact(second), p.client.SetBinding(binding),
		p.agent.SetTunnel(tunnel), p.agent.SetTunnel(dataplane.Tunnel{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: agentAddr}),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised}))
	c := capture(t, top.replica, "eth0", func() {
		for _, at := range []netip.Addr{contactAddr, contact2Addr} {
			conn := connect(t, top.client, clientAddr, top.replica, at)
			conn.exchange(t, 10_000)
			conn.end(t)
		}
	})
	count(t, c, "tcp && ipv6.nxt == 41 && ipv6.addr == 2001:db8:9::1", none)
	count(t, c, "tcp && ipv6.nxt == 41 && ipv6.addr == 2001:db8:9::2", some)
	must(t, p.replica.RemoveContact(contactAddr), p.client.RemoveBinding(clientAddr, contactAddr))
	noPing(t, top.client, contactAddr)
	ping(t, top.client, contact2Addr, 56)
	must(t, p.replica.SetContact(contact))
	ping(t, top.client, contactAddr, 56)

	// What was a host's contact address can be a home address that it serves.
	there := dataplane.Contact{Home: contactAddr, CareOf: agentAddr, HomeAgent: replicaAddr}
	must(t, p.agent.RemoveTunnel(contactAddr), p.agent.SetContact(there), p.agent.RemoveContact(contactAddr), p.agent.SetTunnel(tunnel))
	ping(t, top.client, contactAddr, 56)
}

// The mobile node moves: what answers at the contact address is the replica that
// client and home agent have been told of.
func testHandoff(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	acceptor := b.New(t, top.near, "eth0")
	defer func() { must(t, acceptor.Close()) }()
	there := contact
	there.CareOf = nearAddr
	optimised := dataplane.Route{Kind: dataplane.Optimised}
	must(t, p.agent.SetTunnel(tunnel), p.client.SetBinding(binding), p.replica.SetContact(contact),
		p.replica.SetRoute(flow, optimised), acceptor.SetContact(there), acceptor.SetRoute(flow, optimised))
	arrive := func(h *lab.Host, from *lab.Host) {
		t.Helper()
		c := capture(t, h, "eth0", func() { ping(t, from, contactAddr, 56) })
		count(t, c, "icmpv6.type == 129", func(n int) bool { return n == 3 })
	}
	arrive(top.replica, top.client)
	moved := binding
	moved.CareOf = nearAddr
	must(t, p.client.SetBinding(moved))
	arrive(top.near, top.client)
	arrive(top.replica, top.legacy)
	registered := tunnel
	registered.CareOf = nearAddr
	must(t, p.agent.SetTunnel(registered))
	arrive(top.near, top.legacy)
}

// The host's own routes and link change; ours follow.
func testRoutesFollowed(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	p.routed(t, dataplane.Optimised)
	ping(t, top.client, contactAddr, 56)
	eventually := func(what string) {
		t.Helper()
		err := lab.WaitFor(deadline(t), func() error {
			ctx := deadline(t)
			_, one := top.client.Output(ctx, "ping", "-6", "-n", "-c", "1", "-W", "0.3", contactAddr.String())
			_, two := top.legacy.Output(ctx, "ping", "-6", "-n", "-c", "1", "-W", "0.3", contactAddr.String())
			return errors.Join(one, two)
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}

	// Another router on the replica's link and on the client's.
	top.access.Addr("lan", netip.MustParsePrefix("2001:db8:1::2/64"))
	top.edge.Addr("client", netip.MustParsePrefix("2001:db8:a::2/64"))
	top.replica.IP("-6", "route", "replace", "default", "via", "2001:db8:1::2")
	top.client.IP("-6", "route", "replace", "default", "via", "2001:db8:a::2")
	top.access.IP("-6", "addr", "del", "2001:db8:1::1/64", "dev", "lan")
	top.edge.IP("-6", "addr", "del", "2001:db8:a::1/64", "dev", "client")
	eventually("after the routers changed")

	// No route at all: silence, and nothing leaves by another way.
	top.replica.IP("-6", "route", "del", "default")
	c := capture(t, top.replica, "eth0", func() {
		err := lab.WaitFor(deadline(t), func() error {
			if _, err := top.replica.Output(deadline(t), "ping", "-6", "-n", "-c", "1", "-W", "0.3", "-I", contactAddr.String(), legacyAddr.String()); err == nil {
				return errors.New("packets still leave")
			}
			return nil
		})
		must(t, err)
	})
	count(t, c, "ipv6.src == 2001:db8:9::1 && !(ipv6.nxt == 41)", none)
	top.replica.IP("-6", "route", "add", "default", "via", "2001:db8:1::2")
	eventually("after the default route came back")

	// The link goes down and up, and becomes narrower: at its other end too.
	top.access.IP("link", "set", "replica", "mtu", "1400")
	top.access.IP("link", "set", "lan", "mtu", "1400")
	top.replica.IP("link", "set", "eth0", "down")
	top.replica.IP("link", "set", "eth0", "mtu", "1400", "up")
	top.replica.IP("-6", "addr", "replace", "2001:db8:1::10/64", "dev", "eth0", "nodad")
	top.replica.IP("-6", "route", "replace", "default", "via", "2001:db8:1::2")
	eventually("after the link was down")
	err := lab.WaitFor(deadline(t), func() error {
		_, err := top.replica.Output(deadline(t), "ping", "-6", "-n", "-c", "1", "-W", "0.3", "-s", "1400", "-I", contactAddr.String(), legacyAddr.String())
		return err
	})
	if err != nil {
		t.Fatalf("what fits the link no more is not cut: %v", err)
	}
}
