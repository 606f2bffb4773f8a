package conformance

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// Trace is all that a plane could leave on a host, as the host's own commands
// print it.
func Trace(t *testing.T, h *lab.Host) string {
	t.Helper()
	h.Settle()
	var all strings.Builder
	for _, command := range []string{
		"ip -6 addr", "ip -6 rule", "ip -6 route show table all", "ip xfrm state", "ip xfrm policy", "ip -o link",
		"tc qdisc", "tc filter show dev eth0 ingress", "tc filter show dev eth0 egress",
	} {
		args := strings.Fields(command)
		out, err := h.Output(deadline(t), args[0], args[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("$ " + command + "\n" + out)
	}
	return all.String()
}

// State is what was declared, each Set may be said again, each Remove too, and
// Close leaves nothing.
func testDeclaredState(t *testing.T, b Backend) {
	top := newTopology(t, ordinary())
	before := Trace(t, top.replica)
	p := b.New(t, top.replica, "eth0")
	empty := Trace(t, top.replica)
	second := dataplane.Contact{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: agentAddr}
	flows := map[dataplane.Flow]dataplane.Route{
		flow:                                     {Kind: dataplane.Optimised},
		{Home: contactAddr, Client: nearAddr}:    {Kind: dataplane.Optimised},
		{Home: contact2Addr, Client: legacyAddr}: {Kind: dataplane.Held},
		{Home: contact2Addr, Client: clientAddr}: {Kind: dataplane.Tunnelled},
	}
	for f, r := range furtherRoutes(dataplane.FeaturesOf(p)) {
		flows[f] = r
	}
	bindings := []dataplane.Binding{
		{Local: replicaAddr, Home: netip.MustParseAddr("2001:db8:9::3"), CareOf: clientAddr},
		{Local: replicaAddr, Home: netip.MustParseAddr("2001:db8:9::4"), CareOf: nearAddr},
	}
	tunnels := []dataplane.Tunnel{{Home: netip.MustParseAddr("2001:db8:9::5"), CareOf: clientAddr, HomeAgent: replicaAddr}}
	want := dataplane.State{Contacts: []dataplane.Contact{contact, second}, Routes: flows, Bindings: bindings, Tunnels: tunnels}
	options := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}

	var once string
	for round := range 2 {
		must(t, p.SetContact(second), p.SetContact(contact))
		for f, r := range flows {
			must(t, p.SetRoute(f, r))
		}
		must(t, p.SetBinding(bindings[1]), p.SetBinding(bindings[0]), p.SetTunnel(tunnels[0]))
		if d := cmp.Diff(want, p.State(), options...); d != "" {
			t.Fatalf("state (-want +got):\n%s", d)
		}
		trace := Trace(t, top.replica)
		if round == 0 {
			once = trace
		} else if d := cmp.Diff(once, trace); d != "" {
			t.Errorf("declaring again changed the host (-once +twice):\n%s", d)
		}
	}
	for range 2 {
		must(t, p.RemoveRoute(flow), p.RemoveContact(contactAddr), p.RemoveContact(contact2Addr),
			p.RemoveBinding(replicaAddr, bindings[0].Home), p.RemoveBinding(replicaAddr, bindings[1].Home),
			p.RemoveTunnel(tunnels[0].Home))
		if d := cmp.Diff(dataplane.State{}, p.State(), options...); d != "" {
			t.Errorf("state after removal (-want +got):\n%s", d)
		}
		after := Trace(t, top.replica)
		if b.Guards != nil {
			after = b.Guards.ReplaceAllString(after, "")
		}
		if d := cmp.Diff(empty, after); d != "" {
			t.Errorf("removing left something (-before +after):\n%s", d)
		}
	}
	must(t, p.SetContact(contact), p.SetRoute(flow, flows[flow]), p.SetBinding(bindings[0]), p.SetTunnel(tunnels[0]))
	must(t, p.Close(), p.Close())
	if d := cmp.Diff(before, Trace(t, top.replica)); d != "" {
		t.Errorf("Close left something (-before +after):\n%s", d)
	}
	if err := p.SetContact(contact); !errors.Is(err, dataplane.ErrClosed) {
		t.Errorf("SetContact after Close: %v", err)
	}
	if _, open := <-p.Events(); open {
		t.Error("Events is open after Close")
	}
}

// furtherRoutes are those that not every backend has.
func furtherRoutes(has dataplane.Features) map[dataplane.Flow]dataplane.Route {
	routes := map[dataplane.Flow]dataplane.Route{}
	client := func(last byte) dataplane.Flow {
		addr := clientAddr.As16()
		addr[15] = last
		return dataplane.Flow{Home: contactAddr, Client: netip.AddrFrom16(addr)}
	}
	if has.Relay {
		routes[client(1)] = dataplane.Route{Kind: dataplane.Relayed, Peer: nearAddr}
		routes[client(2)] = dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: dataplane.Optimised, From: legacyAddr}
		routes[client(3)] = dataplane.Route{Kind: dataplane.Optimised, Peer: legacyAddr, From: nearAddr}
	}
	if has.Direct {
		routes[client(4)] = dataplane.Route{Kind: dataplane.Direct}
	}
	if has.Keep {
		routes[client(5)] = dataplane.Route{Kind: dataplane.Held, Keep: true}
	}
	if has.Keep && has.Relay {
		routes[client(7)] = dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Pause: true}
	}
	if has.Connections {
		connection := flow // of a client with a route of its own
		connection.HomePort, connection.ClientPort = 80, 40000
		routes[connection] = dataplane.Route{Kind: dataplane.Tunnelled}
		connection = client(6)
		connection.HomePort, connection.ClientPort = 80, 40000
		routes[connection] = dataplane.Route{Kind: dataplane.Held}
	}
	return routes
}

// Many changes at once are as if they were made one after the other; those that
// cannot be made are named, the others are made.
func testMany(t *testing.T, b Backend) {
	top := newTopology(t, ordinary())
	p := b.New(t, top.replica, "eth0")
	defer func() { must(t, p.Close()) }()
	must(t, p.SetContact(contact))
	want := map[dataplane.Flow]dataplane.Route{}
	var changes []dataplane.Change
	for i := range 200 {
		addr := clientAddr.As16()
		addr[13] = byte(i)
		f := dataplane.Flow{Home: contactAddr, Client: netip.AddrFrom16(addr)}
		want[f] = dataplane.Route{Kind: dataplane.Held}
		changes = append(changes, dataplane.Change{Flow: f, Route: want[f]})
		switch i % 4 {
		case 0: // changed in the same go
			want[f] = dataplane.Route{Kind: dataplane.Optimised}
			changes = append(changes, dataplane.Change{Flow: f, Route: want[f]})
		case 1:
			delete(want, f)
			changes = append(changes, dataplane.Change{Flow: f, Remove: true})
		}
	}
	foreign := dataplane.Change{Flow: dataplane.Flow{Home: contact2Addr, Client: clientAddr}}
	nonsense := dataplane.Change{Flow: flow, Route: dataplane.Route{Kind: dataplane.Relayed}}
	changes = append([]dataplane.Change{foreign}, append(changes, nonsense)...)
	for f, r := range furtherRoutes(dataplane.FeaturesOf(p)) {
		want[f] = r
		changes = append(changes, dataplane.Change{Flow: f, Route: r})
	}
	err := dataplane.SetRoutes(p, changes)
	var failed *dataplane.ChangeError
	if !errors.Is(err, dataplane.ErrNoContact) || !errors.Is(err, dataplane.ErrRoute) || !errors.As(err, &failed) || failed.Change != foreign {
		t.Errorf("errors: %v", err)
	}
	if d := cmp.Diff(want, p.State().Routes, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("routes (-want +got):\n%s", d)
	}
	changes = changes[:0]
	for f := range want {
		changes = append(changes, dataplane.Change{Flow: f, Remove: true})
	}
	must(t, dataplane.SetRoutes(p, changes))
	if got := p.State().Routes; len(got) != 0 {
		t.Errorf("after removal: %v", got)
	}
}

// What cannot be declared is refused with an error that says why, and changes
// nothing.
func testRefused(t *testing.T, b Backend) {
	top := newTopology(t, ordinary())
	p := b.New(t, top.replica, "eth0")
	defer func() { must(t, p.Close()) }()
	served := netip.MustParseAddr("2001:db8:9::7")
	must(t, p.SetContact(contact), p.SetBinding(dataplane.Binding{Local: replicaAddr, Home: served, CareOf: clientAddr}))
	top.replica.IP("-6", "route", "add", "unreachable", "2001:db8:dead::/48")
	before := Trace(t, top.replica)
	var (
		none      netip.Addr
		multicast = netip.MustParseAddr("ff02::1")
		local     = netip.MustParseAddr("fe80::1")
		four      = netip.MustParseAddr("192.0.2.1")
	)
	for name, c := range map[string]struct{ got, want error }{
		"contact without address":    {p.SetContact(dataplane.Contact{CareOf: replicaAddr, HomeAgent: agentAddr}), dataplane.ErrInvalid},
		"contact is multicast":       {p.SetContact(dataplane.Contact{Home: multicast, CareOf: replicaAddr, HomeAgent: agentAddr}), dataplane.ErrInvalid},
		"contact is its care-of":     {p.SetContact(dataplane.Contact{Home: replicaAddr, CareOf: replicaAddr, HomeAgent: agentAddr}), dataplane.ErrInvalid},
		"contact is the host's own":  {p.SetContact(dataplane.Contact{Home: replicaAddr, CareOf: nearAddr, HomeAgent: agentAddr}), dataplane.ErrConflict},
		"contact is served here":     {p.SetContact(dataplane.Contact{Home: served, CareOf: replicaAddr, HomeAgent: agentAddr}), dataplane.ErrConflict},
		"care-of is unreachable":     {p.SetBinding(dataplane.Binding{Local: replicaAddr, Home: contact2Addr, CareOf: netip.MustParseAddr("2001:db8:dead::1")}), dataplane.ErrUnreachable},
		"home agent is IPv4":         {p.SetContact(dataplane.Contact{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: four}), dataplane.ErrInvalid},
		"client is link-local":       {p.SetRoute(dataplane.Flow{Home: contactAddr, Client: local}, dataplane.Route{}), dataplane.ErrInvalid},
		"flow without contact":       {p.SetRoute(dataplane.Flow{Home: contact2Addr, Client: clientAddr}, dataplane.Route{}), dataplane.ErrNoContact},
		"one port only":              {p.SetRoute(dataplane.Flow{Home: contactAddr, Client: clientAddr, HomePort: 80}, dataplane.Route{}), dataplane.ErrPorts},
		"unknown kind":               {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Direct + 1}), dataplane.ErrRoute},
		"relayed by nobody":          {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Relayed}), dataplane.ErrRoute},
		"relayed via the tunnel":     {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Relayed, Peer: nearAddr, Via: dataplane.Optimised}), dataplane.ErrRoute},
		"relayed on hold":            {p.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, Via: dataplane.Held}), dataplane.ErrRoute},
		"optimised and kept":         {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised, Keep: true}), dataplane.ErrRoute},
		"optimised and paused":       {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised, Peer: nearAddr, Pause: true}), dataplane.ErrRoute},
		"held and paused":            {p.SetRoute(flow, dataplane.Route{Kind: dataplane.Held, Peer: nearAddr, Pause: true}), dataplane.ErrRoute},
		"relayed, kept and paused":   {p.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: nearAddr, From: nearAddr, Keep: true, Pause: true}), dataplane.ErrRoute},
		"peer is multicast":          {p.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: multicast}), dataplane.ErrInvalid},
		"relay is its own":           {p.SetContact(dataplane.Contact{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: agentAddr, Relays: dataplane.Peers{replicaAddr}}), dataplane.ErrInvalid},
		"binding without care-of":    {p.SetBinding(dataplane.Binding{Local: replicaAddr, Home: contact2Addr, CareOf: none}), dataplane.ErrInvalid},
		"binding of own address":     {p.SetBinding(dataplane.Binding{Local: replicaAddr, Home: contactAddr, CareOf: clientAddr}), dataplane.ErrConflict},
		"binding at a contact":       {p.SetBinding(dataplane.Binding{Local: contactAddr, Home: contact2Addr, CareOf: clientAddr}), dataplane.ErrConflict},
		"tunnel to its own end":      {p.SetTunnel(dataplane.Tunnel{Home: contact2Addr, CareOf: replicaAddr, HomeAgent: replicaAddr}), dataplane.ErrInvalid},
		"tunnel for our own address": {p.SetTunnel(dataplane.Tunnel{Home: contactAddr, CareOf: clientAddr, HomeAgent: replicaAddr}), dataplane.ErrConflict},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if dataplane.FeaturesOf(p).Relay {
		if err := p.SetRoute(flow, dataplane.Route{Kind: dataplane.RelayTo, Peer: replicaAddr}); !errors.Is(err, dataplane.ErrConflict) {
			t.Errorf("the peer is this host: %v", err)
		}
	}
	if d := cmp.Diff(before, Trace(t, top.replica)); d != "" {
		t.Errorf("a refusal changed the host (-before +after):\n%s", d)
	}
}

// Stamps say that a flow is in use: at the replica by flow, at the correspondent
// by binding.
func testLastUsed(t *testing.T, b Backend) {
	top := newTopology(t, ordinary())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.client.SetBinding(binding),
		p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised}))
	for _, plane := range []dataplane.Plane{p.replica, p.client} {
		if at, err := plane.LastUsed(flow); err != nil || !at.IsZero() {
			t.Errorf("before any packet: %v %v", at, err)
		}
	}
	ping(t, top.client, contactAddr, 56)
	for _, plane := range []dataplane.Plane{p.replica, p.client} {
		first, err := plane.LastUsed(flow)
		if err != nil || first.IsZero() {
			t.Errorf("after a ping: %v %v", first, err)
		}
	}
	// Declaring the same again keeps the stamp; removing forgets it.
	must(t, p.replica.SetRoute(flow, dataplane.Route{Kind: dataplane.Held}), p.client.SetBinding(binding))
	for _, plane := range []dataplane.Plane{p.replica, p.client} {
		if at, err := plane.LastUsed(flow); err != nil || at.IsZero() {
			t.Errorf("after declaring again: %v %v", at, err)
		}
	}
	must(t, p.replica.RemoveRoute(flow), p.client.RemoveBinding(clientAddr, contactAddr))
	for _, plane := range []dataplane.Plane{p.replica, p.client} {
		if at, err := plane.LastUsed(flow); err != nil || !at.IsZero() {
			t.Errorf("after removal: %v %v", at, err)
		}
	}
}
