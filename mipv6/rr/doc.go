// Package rr is return routability (RFC 6275 §5.2): how a correspondent learns,
// without any key shared beforehand, that one node can be reached both at a home
// address and at a care-of address.
//
//   - Responder is the correspondent's half. It answers Home Test Init and
//     Care-of Test Init from a secret key and a few nonces, and stores nothing
//     about who asked; it checks the authenticator of a Binding Update.
//   - Initiator is one run of the mobile node's half: which messages to send
//     when, until both keygen tokens are there or the tries are used up.
//   - HomeToken is a home keygen token with the moment it came. It says nothing
//     of any care-of address, so while it is fresh (RFC 6275 §5.2.7) another
//     replica of the same home address may use it: it travels in handoffs.
//   - Relay is the contact node's table: which replica asked for which Home
//     Test, found again by the cookie of the answer.
//
// Nothing here does I/O or reads a clock: time comes in as an argument,
// messages come in and go out as values, and randomness comes from an io.Reader
// (crypto/rand outside of tests). The types are not safe for concurrent use;
// the loop that drives them serialises.
package rr
