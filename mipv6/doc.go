// Package mipv6 is a codec for the packets of Mobile IPv6 (RFC 6275): the
// Mobility Header with its eight messages and its options, the Home Address
// destination option and the type 2 routing header. It does no I/O, keeps no
// state and knows no clock.
//
// # Messages
//
// Each message of RFC 6275 §6.1 is a struct whose pointer is a [Message].
// [Marshal] and [Parse] own the fixed header (§6.1.1); a message's own file
// owns its body. Mobility options (§6.2) are values of type [Option]; Marshal
// makes the padding that their alignment needs and Parse drops it, so a caller
// never sees Pad1 or PadN. An option that this package does not know is kept
// whole as an [UnknownOption].
//
// # Checksum and authenticator
//
// The checksum of a Mobility Header covers a pseudo-header in which the home
// address stands where a packet carries a Home Address option (as source) or a
// type 2 routing header (as destination) — §6.1.1 and §11.3.1. Functions that
// take src and dst want those addresses; [Packet.Carry] finds them by itself.
// The Binding Authorization Data option (§6.2.7) is made by
// [MarshalAuthenticated] and checked with [AuthenticatorInput].
//
// # Errors
//
// Parse reports a [*ParseError], whose [ErrorKind] says what RFC 6275 §9.2
// wants done with the packet: a Binding Error, an ICMPv6 parameter problem, or
// silence.
//
// All integers on the wire are in network byte order; durations are Go
// durations, in units of 4 s on the wire.
package mipv6
