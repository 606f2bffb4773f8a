// Package dataplane says what a data plane of vanycast must do: the interface
// that the roles declare their state through, and (in conformance) the tests
// that every backend passes. Backends: tcbpf (eBPF at tc), xfrm (the kernel's
// own Mobile IPv6).
//
// A backend rewrites packets as RFC 6275 says (§6.3 Home Address option, §6.4
// type 2 routing header, §10.4.2/§11.3 tunnelling, §9.3 correspondent
// processing); it never speaks, keeps no timer and decides nothing.
package dataplane

import (
	"net/netip"
	"time"
)

// Plane is a data plane of one host. Its state is declared: every Set is
// idempotent and replaces what was set for the same key; every Remove of what
// is not there succeeds. Methods are safe for concurrent use. Errors carry the
// operation, its object, and the kernel's reason.
type Plane interface {
	// SetContact declares a contact address of this replica (the mobile
	// node's half): the address appears on the host as a deprecated /128, and
	// traffic from it to a client without a Route goes through the tunnel to
	// the home agent.
	SetContact(Contact) error
	// RemoveContact takes the contact address and all its routes away.
	RemoveContact(home netip.Addr) error
	// SetRoute says how the traffic of one flow travels. What was kept of it (see
	// Route.Keep, Route.Pause, Contact.Steer) goes that way first.
	SetRoute(Flow, Route) error
	// RemoveRoute gives the flow back: one connection to its client's route, all
	// of a client to the tunnel; and what was kept of it, but for what was paused.
	RemoveRoute(Flow) error
	// SetBinding declares a binding cache entry of the correspondent's half.
	SetBinding(Binding) error
	// RemoveBinding removes it.
	RemoveBinding(local, home netip.Addr) error
	// SetTunnel declares a binding of the home agent's half.
	SetTunnel(Tunnel) error
	// RemoveTunnel removes it.
	RemoveTunnel(home netip.Addr) error
	// LastUsed tells when a flow's (or, at a correspondent, a binding's, with
	// Client the local address) packets last passed; zero for never.
	LastUsed(Flow) (time.Time, error)
	// Events delivers what the signalling must know of. The channel is
	// bounded; what does not fit is dropped and counted.
	Events() <-chan Event
	// Counters are totals since the plane was made, by name; the names are
	// in constants.go.
	Counters() map[string]uint64
	// State is all that is declared, for comparison and for vanyctl.
	State() State
	// Close removes everything this plane put on the host.
	Close() error
}

// Binding is a binding cache entry at a correspondent (RFC 6275 §9.1).
type Binding struct {
	Local  netip.Addr // our address
	Home   netip.Addr // the mobile node's home address
	CareOf netip.Addr
}

// Tunnel is a binding at the home agent (RFC 6275 §10.1).
type Tunnel struct {
	Home      netip.Addr
	CareOf    netip.Addr
	HomeAgent netip.Addr // our address, the tunnel's source
	// Protect has Mobility Headers to Home given to the signalling (see Taker)
	// instead of the tunnel, and dropped where they come out of it: they travel in
	// ESP (RFC 3776). A backend whose kernel has ESP may leave both to the kernel's
	// policies.
	Protect bool
}

// Taker is a Plane that can carry out Tunnel.Protect itself.
type Taker interface {
	// Taken delivers whole IPv6 packets, in order, as long as somebody reads.
	// What finds no room is dropped and counted. The channel is closed by Close.
	Taken() <-chan []byte
}

// State is the whole declared state, each list sorted.
type State struct {
	Contacts []Contact
	Routes   map[Flow]Route
	Bindings []Binding
	Tunnels  []Tunnel

	FlowTunnels []FlowTunnel
	CareOfs     []CareOf
}

// EventKind says what the data plane noticed.
type EventKind uint8

const (
	// UnknownHomeAddress: a packet with a Home Address option that no binding
	// covers was dropped; RFC 6275 §9.3.3 wants a Binding Error, status 1.
	UnknownHomeAddress EventKind = iota + 1
	// NewConnection: a TCP SYN came for a port that is steered (Contact.Steer), and
	// is kept until the flow gets a route, or RemoveRoute says that it stays here.
	NewConnection
)

// Event is something that the signalling must answer.
type Event struct {
	Kind   EventKind
	Source netip.Addr // the packet's source: a care-of address, the home agent's, or a relay's
	Dest   netip.Addr // the packet's destination: our address
	Home   netip.Addr // the home address in the option; the contact address
	Flow   Flow       // of a NewConnection, with ports
}
