// Package peer is the replicas' secure channel: TCP with TLS 1.3, both sides
// authenticated by certificates whose IP SAN is the replica's care-of address,
// one connection per pair of replicas kept open and shared by many concurrent
// calls. A call is one request and one response, each a kind and bytes; the
// packages above give them meaning.
//
//	n, err := peer.Listen(peer.Config{...})
//	n.Handle(kind, func(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {...})
//	err = n.Connect(ctx, to)              // reach the peer now, or say why not
//	resp, err := n.Call(ctx, to, kind, req)
//
// Errors: *RemoteError (the handler's refusal: code and text), ErrUnreachable
// (nothing was sent), ErrLost (sent, but no answer came: the outcome is unknown).
package peer

// Kind names what a call is about.
type Kind uint8

const (
	KindHello    Kind = iota + 1 // version, name, services
	KindHomeTest                 // anycast: relay of HoTI and HoT at the contact node
	KindRefresh                  // anycast: a Binding Refresh Request that reached the contact node
	KindHandoff                  // handoff: a client with all it has
	KindOffer                    // handoff: would you take this client?
	KindOutcome                  // handoff: what became of that handoff?
)

// Those of package relay.
const (
	KindRelay  Kind = iota + 16 // connections that the caller wants relayed to itself
	KindAnchor                  // the caller is, or is to be, contact node: what is yours?
	KindFlows                   // does the home agent take flow bindings?
)

// KindStanding is package framework's: would you take new clients of a service?
const KindStanding Kind = 40

// KindContact is framework's: who is contact node, and who lives.
const KindContact Kind = 32

// KindKeys: IPsec keys for a contact node, from a replica that was given them.
const KindKeys Kind = 24

// Those of clients with several connections.
const (
	KindBinding Kind = iota + 48 // anycast: bind this client, and relay its connections
	KindBound                    // relay: the caller binds a client some of whose connections are yours
)
