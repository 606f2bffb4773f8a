// Package relay serves connections of clients without Mobile IPv6, and single ones
// of clients that have several, at any replica: the replica that gets a client's
// packets (the anchor: the contact node, or the one that the client is bound to)
// sends those of a relayed connection on to the replica that owns it, and that
// one's answers on to the client.
//
// At the anchor a Cache says who owns which connection. It is to these clients
// what the binding cache of a correspondent is to others (RFC 6275 §9.5.1): a
// register that takes an update only if its sequence number is greater than the
// last, and tells the last if not. So whatever a handoff leaves open is decided
// in the same way: two replicas that use the same number exclude each other. Unlike
// a binding cache it knows the owner, so an owner may use its number again.
//
// Updates are calls over the replicas' channel (peer.KindRelay), which also says
// who asks: a replica registers itself and nobody else. A registration is a lease;
// the owner renews it while the connection is in use. A replica that becomes
// contact node collects all owners' registrations before it tells the home agent,
// and announces itself afterwards (peer.KindAnchor): the connections survive.
//
// Cache and the encoding have no I/O and no clock. Node is the loop around them,
// with the verbs of package anycast, for one connection each.
package relay
