package handoff

import (
	"net/netip"
	"time"
)

// Client is one client's connection with all that belongs to it: what a donor
// gives and an acceptor gets.
type Client struct {
	// ID names the client for its whole life, whoever serves it; the replica
	// that accepted the connection chose it.
	ID uint64
	// Service is the configured name of the service.
	Service string
	// Local is the contact address and port, Remote the client's.
	Local, Remote netip.AddrPort
	// FD is this process's own descriptor of the connection's socket, -1 when
	// the client is not here any more. Other descriptors of the same socket
	// (the application's) may exist; they are stopped before a handoff.
	FD int
	// State is the application's own, at most MaxState bytes.
	State []byte
	// HandedOff tells that the client came from another replica, From.
	HandedOff bool
	From      netip.Addr
	// Relayed tells that it came by relaying, alone: the client has no Mobile IPv6
	// (Immobile), or other connections that are elsewhere.
	Relayed, Immobile bool
	// Failed is the target of a handoff that did not come about, if the client
	// is back from one.
	Failed netip.Addr
	// Since is when this replica began to serve the client.
	Since time.Time
}

// Offer is what an acceptor knows of a client before it says whether it can
// take it.
type Offer struct {
	ID              uint64
	Service         string
	Contact, Client netip.AddrPort
	From            netip.Addr // the donor
	StateBytes      int        // length of the application's state
}

// Bounds of what one handoff carries.
const (
	// MaxState is the longest application state, in bytes.
	MaxState = 1 << 20
	// MaxService is the longest service name, in bytes.
	MaxService = 255
	// MaxMark is the longest encoding of the anycast mark, in bytes.
	MaxMark = 1 << 10
	// MaxEndpoint is the longest encoding of a TCP endpoint, in bytes: its two
	// queues make it up.
	MaxEndpoint = 48 << 20
)
