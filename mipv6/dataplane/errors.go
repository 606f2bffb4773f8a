package dataplane

import "errors"

// Errors of every backend, for errors.Is; what is returned wraps them and says
// what was tried on what.
var (
	// ErrClosed: the plane was closed.
	ErrClosed = errors.New("data plane is closed")
	// ErrFull: a table of bounded size holds no more.
	ErrFull = errors.New("table is full")
	// ErrInvalid: an address that cannot be what it is declared to be.
	ErrInvalid = errors.New("not a unicast routable IPv6 address")
	// ErrPorts: a flow with one port only.
	ErrPorts = errors.New("a connection has two ports")
	// ErrRoute: a route whose parts do not go together.
	ErrRoute = errors.New("no such route")
	// ErrUnsupported: this backend, or this kernel, cannot do it; see Features.
	ErrUnsupported = errors.New("the data plane cannot do this")
	// ErrNoContact: a flow whose contact address is not declared.
	ErrNoContact = errors.New("no such contact address")
	// ErrNoTunnel: a flow binding, or a further care-of address, of a home address
	// that has no tunnel.
	ErrNoTunnel = errors.New("no such home address")
	// ErrConflict: the address already has another part on this host.
	ErrConflict = errors.New("address is already in use")
	// ErrUnreachable: the host has no route that leaves by the plane's interface.
	ErrUnreachable = errors.New("no route by the data plane's interface")
	// ErrBusy: another plane, of this or another process, serves this host.
	ErrBusy = errors.New("another data plane is running on this host")
)
