// Package homeagent is the home agent role (RFC 6275 §10): it lets mobile
// nodes register where their home addresses are now, keeps these addresses
// alive on the home link meanwhile, and tells the data plane which of them is
// tunnelled where.
//
// A new home address goes through duplicate address detection on the home link
// (1 s) before it is accepted; then the kernel answers for it there (proxy
// neighbour discovery), and the neighbours are told so. The tunnel leads from
// and to the registered care-of address only.
//
// The [core] takes events and the time and returns actions; it does no I/O, so
// that every rule is a line in a scenario file (testdata). [Role] is the thin
// loop around it.
//
// Where several replicas share a home address they may register their care-of
// addresses beside each other (RFC 5648), and have single connections tunnelled
// straight to themselves (RFC 6089): see further.go.
//
// RFC 6275 §5.1 has home registrations protected by IPsec. This role does not
// check that: a host that wants it has an IPsec policy for Mobility Headers.
// What the role itself knows is an allow-list ([Allow]) of home addresses and
// of care-of prefixes; the latter is worth as much as the network's ingress
// filtering.
package homeagent
