// Package handoff moves a live client from the replica that serves it, the
// donor, to another, the acceptor: the thesis's normal handover (its §3.2.2,
// §3.3 and §5.3.3–5.3.5).
//
// The donor makes sure that the acceptor is reachable and willing, and that the
// client has Mobile IPv6, while it still serves the client. Only then it
// freezes the TCP endpoint, extracts it and sends it with the application's
// state. The acceptor inserts it, tells the client by return routability and a
// Binding Update (RFC 6275 §5.2, §11.7.2) that its peer now lives at the
// acceptor's care-of address, activates the endpoint, delivers it to the
// application and acknowledges. The donor forgets it, or thaws it if refused.
//
// That is ModeBasic. In ModePrepared the acceptor does return routability while the
// donor serves the client; in ModeSeamless what the client sends from the freeze on
// goes to the acceptor, which keeps it until the endpoint lives; and an acceptor
// that can be heard through the donor does not wait until it is bound.
//
// Where the acknowledgement is lost the donor asks the acceptor what became of
// the handoff, and where the acceptor cannot be asked, the client's own binding
// cache: see Donor. At no moment do two replicas serve one client.
//
// Donor and Acceptor are pure: events and the time go in, actions come out. An
// Agent carries the actions out through interfaces: Caller (package peer),
// Binder (package anycast) and TCP (package tcpcp).
package handoff
