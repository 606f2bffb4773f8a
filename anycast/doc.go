// Package anycast is versatile anycast (thesis §3.2): several replicas play one
// mobile node, whose home address is the contact address of their clients.
//
// A Node is the mobile node's half of Mobile IPv6 at one replica, for any number
// of contact addresses. An Address is one of them: Passive puts it on the host,
// Active makes this replica the contact node by registering its care-of address
// at the home agent. Clients are moved with the thesis's verbs (§3.2.3):
//
//	donor                           acceptor
//	m := a.Mark(client)
//	                                err := a.Start(ctx, client, donor, m)
//	a.Finish(client)
//
// Start does return routability (RFC 6275 §5.2) and tells the client by a Binding
// Update that the contact address now is at the acceptor. The home test needs the
// contact node, for the home agent takes a Home Test Init from the registered
// care-of address only: a Relay asks it, and the Node of the contact node answers
// (HandleHomeTest). The sequence number in the Mark decides who owns a client: of
// two replicas that use the same number only the first is believed, and the
// other learns it (SequenceError). Reclaim is that question asked by a donor whom
// the acceptor's answer did not reach.
//
// Inside is a core without I/O and without a clock: events and the time go in,
// actions come out. Node is the thin loop around it. Every method ends in bounded
// time and says what went wrong.
package anycast
