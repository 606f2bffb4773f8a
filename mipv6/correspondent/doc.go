// Package correspondent is the correspondent role (RFC 6275 §9): what makes a
// client host follow a mobile node that moves. It answers return routability,
// keeps the binding cache, tells the data plane which home address is where,
// and answers what is wrong as the RFC says.
//
// The [core] takes events and the time and returns actions; it does no I/O and
// starts nothing, so that every rule is a line in a scenario file (testdata).
// [Role] is the thin loop around it: the data plane and the sockets of its
// host, and a timer.
//
// The role sees only what the daemon hands it (Role.HandleMH): one socket
// serves all roles of a host. Where a host is a home agent too, that role is
// asked first; this one refuses home registrations.
package correspondent
