package dataplane

import (
	"net/netip"
)

// Contact is one contact address at a replica.
type Contact struct {
	Home      netip.Addr // the contact address
	CareOf    netip.Addr // this replica's care-of address
	HomeAgent netip.Addr // the tunnel's other end
	// Steer are the ports (of the contact address) whose new connections are
	// decided at the SYN: one that comes by the home agent, or by one of Relays, and
	// belongs to no flow with a route, is kept and reported (NewConnection). What
	// exceeds the bounds of that is delivered to this host as if nothing was steered.
	Steer Ports
	// Relays are the replicas (their care-of addresses) that may relay a SYN for a
	// steered port to us before we declared its flow.
	Relays Peers
	// Absent: the address is not on the host yet. Routes can be declared, and are
	// complete before the first packet meets a socket, or none. To be set again without
	// it; of an address that is on the host it is ignored.
	Absent bool
}

// Ports is a set of port numbers, at most 16: comparable, unlike a slice. Zero
// is no port.
type Ports [16]uint16

// Peers is a set of care-of addresses, at most 8.
type Peers [8]netip.Addr

// Flow is one client's traffic with one contact address; with ports, that of
// one connection. TCP and UDP are not told apart.
type Flow struct {
	Home   netip.Addr // the contact address
	Client netip.Addr
	// HomePort and ClientPort are both set or both zero: all of the client's
	// traffic. A packet follows the route of its connection if there is one, else its
	// client's, else it takes the tunnel. Fragments and Mobility Headers belong to no
	// connection; an ICMPv6 error to that of the packet it quotes.
	HomePort, ClientPort uint16
}

// RouteKind is one row of the design's §3 table.
type RouteKind uint8

const (
	// Tunnelled: IPv6-in-IPv6 to and from the home agent. What a flow without a route does.
	Tunnelled RouteKind = iota
	// Optimised: Home Address option out, type 2 routing header in.
	Optimised
	// Held: nothing out, what comes in is dropped, or kept (Route.Keep); never answered.
	Held
	// Relayed: IPv6-in-IPv6 to and from Peer, which sends it on as its own (RelayTo).
	Relayed
	// RelayTo: Peer serves the flow. What comes goes to it, IPv6-in-IPv6; what it
	// sends in that tunnel goes on as Via says; what this host itself sends is dropped.
	RelayTo
	// Direct: out as it is, with the contact address as source, for networks that
	// let it pass; in through the tunnel, or from Peer.
	Direct
)

// Route is how a flow travels. Whatever the route, a packet may come in by each
// legitimate way: the home agent's tunnel, a type 2 routing header, Peer (but of
// RelayTo), and From. A way that is not declared drops it
// (CounterDropForeignTunnel). Mobility Headers go by the home agent and come in by
// it, whatever the route.
type Route struct {
	Kind RouteKind
	// Peer is the care-of address of the other replica: of Relayed and RelayTo; of
	// the other kinds, if a replica relays to us.
	Peer netip.Addr
	// Via says how what Peer of RelayTo sends goes on: Tunnelled, Optimised or Direct;
	// or Relayed, to From, which relays the flow to us.
	Via RouteKind
	// From is the care-of address of a former donor or relay, whose late packets
	// for the flow are still accepted, of RelayTo (but not via Relayed) also what it
	// sends as the one who served the flow; or none.
	From netip.Addr
	// Keep: what comes for a Held flow is kept, within bounds, the oldest dropped
	// first, until the route is of a kind that delivers; then it goes first, in its
	// order, segments of one TCP connection in that of their sequence numbers. Of a
	// RelayTo flow what Peer gives back is kept, and Peer must be From: it is about to
	// hand us the flow, and has frozen it already.
	Keep bool
	// Pause: what is sent to the client is kept, within the same bounds: of a RelayTo
	// flow what Peer sends (and From, where it may speak), of a Relayed one what this host
	// does. What comes goes its way. When there is a route without Pause, what was kept
	// goes first, as that says, in the same order as of Keep. It is given up if the flow
	// is served by another than before, or held, or has no route of its own any more.
	// Hearer takes it for sent on.
	Pause bool
}

// ClientFlow is the flow of all the client's traffic that a connection is part of.
func (f Flow) ClientFlow() Flow { return Flow{Home: f.Home, Client: f.Client} }

// IsConnection tells a flow with ports.
func (f Flow) IsConnection() bool { return f.HomePort != 0 || f.ClientPort != 0 }

// PortsOf makes a set; ok is false if they are too many.
func PortsOf(ports ...uint16) (set Ports, ok bool) {
	return set, copy(set[:], ports) == len(ports)
}

// Has tells whether the port is in the set.
func (p Ports) Has(port uint16) bool {
	for _, q := range p {
		if q == port && q != 0 {
			return true
		}
	}
	return false
}

// PeersOf makes a set; ok is false if they are too many.
func PeersOf(peers ...netip.Addr) (set Peers, ok bool) {
	return set, copy(set[:], peers) == len(peers)
}

// Has tells whether the address is in the set.
func (p Peers) Has(addr netip.Addr) bool {
	for _, q := range p {
		if q == addr && q.IsValid() {
			return true
		}
	}
	return false
}
