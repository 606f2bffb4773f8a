// Package bindings keeps the bindings of Mobile IPv6 (RFC 6275): between a home
// address, which stays, and a care-of address, which changes.
//
//   - Cache is the binding cache (§9.1, §10.1) of a correspondent or of a home
//     agent: who is where, until when.
//   - UpdateList is the binding update list (§11.1) of a replica, which plays
//     the mobile node: whom it told where it is, with which sequence number, what
//     is not acknowledged yet, what must be refreshed when.
//
// Both are state machines without I/O and without a clock. Events come in with
// the time, and what is to be done comes back as values: statuses, changes,
// messages to send. Next tells when Poll is due. The same events give the same
// results. The types are not safe for concurrent use.
package bindings
