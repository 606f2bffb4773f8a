package mipv6

import "fmt"

// ErrorKind is what is wrong with a received Mobility Header, told apart by
// what RFC 6275 §9.2 wants to be answered. It is an error itself, so that
// errors.Is(err, KindUnknownType) works on what [Parse] returns.
type ErrorKind uint8

const (
	// KindTruncated: the packet ends before the header does. Dropped in silence.
	KindTruncated ErrorKind = iota + 1
	// KindUnknownType: an MH Type that RFC 6275 does not define. A Binding
	// Error with status [UnrecognizedMHType] is due (§9.2).
	KindUnknownType
	// KindPayloadProto: Payload Proto is not IPPROTO_NONE. An ICMPv6
	// parameter problem, code 0, is due that points to this field (§9.2).
	KindPayloadProto
	// KindHeaderLength: Header Len is less than the message needs. An ICMPv6
	// parameter problem, code 0, is due that points to this field (§9.2).
	KindHeaderLength
	// KindOption: an option runs over the end of the header, or a known
	// option has a wrong length. Dropped in silence.
	KindOption
	// KindAuthorization: the Binding Authorization Data option is missing, or
	// is not the last option (§6.2.7). Dropped in silence.
	KindAuthorization
)

// Error describes the kind.
func (k ErrorKind) Error() string {
	switch k {
	case KindTruncated:
		return "truncated Mobility Header"
	case KindUnknownType:
		return "unknown MH type"
	case KindPayloadProto:
		return "payload proto is not 59"
	case KindHeaderLength:
		return "header length too small for the message"
	case KindOption:
		return "malformed mobility option"
	case KindAuthorization:
		return "no Binding Authorization Data as last option"
	}
	return fmt.Sprintf("error kind %d", uint8(k))
}

// ParseError says why a Mobility Header was not accepted.
type ParseError struct {
	Kind   ErrorKind
	Type   Type // of the message; 0 if it ends before its MH Type
	Offset int  // of the offending octet, from the first of the Mobility Header
}

// Error implements error.
func (e *ParseError) Error() string {
	return fmt.Sprintf("mipv6: parse %v: %v (octet %d)", e.Type, e.Kind, e.Offset)
}

// Unwrap gives the kind, for errors.Is.
func (e *ParseError) Unwrap() error { return e.Kind }

// ParameterProblem tells whether RFC 6275 §9.2 asks for an ICMPv6 parameter
// problem, code 0. Its pointer is Offset added to the offset of the Mobility
// Header in the packet.
func (e *ParseError) ParameterProblem() bool {
	return e.Kind == KindPayloadProto || e.Kind == KindHeaderLength
}
