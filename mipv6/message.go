package mipv6

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Protocol numbers that a Mobility Header has to do with.
const (
	// ProtocolMobility is the Next Header value of a Mobility Header (RFC 6275 §6.1.1).
	ProtocolMobility = 135
	// ProtocolNone is IPPROTO_NONE, the only Payload Proto allowed (§6.1.1).
	ProtocolNone = 59
)

// Offsets and lengths in octets of the fixed Mobility Header (RFC 6275 §6.1.1).
const (
	offsetPayloadProto = 0
	offsetHeaderLen    = 1
	offsetType         = 2
	offsetChecksum     = 4
	headerLen          = 6 // Payload Proto to Checksum

	unit             = 8          // Header Len counts units of 8 octets, the first not included
	maxMobilityLen   = unit * 256 // Header Len is one octet
	headerLenMinimum = unit
)

// Message is a Mobility Header message. Pointers to the eight message structs
// of this package implement it, nothing else can.
type Message interface {
	// Type is the message's MH Type.
	Type() Type

	// bodyLen is the length of Message Data without options.
	bodyLen() int
	// marshal writes the Message Data without options to b, which is
	// bodyLen octets of zero.
	marshal(b []byte) error
	// unmarshal reads it from b, which is bodyLen octets.
	unmarshal(b []byte)
	// mobilityOptions is where the message keeps its options.
	mobilityOptions() *[]Option
}

// Marshal encodes a whole Mobility Header: Payload Proto 59, options aligned
// as RFC 6275 §6.2 wants, and the checksum over the pseudo-header of src and
// dst. The caller passes the home address where the packet has it in a Home
// Address option (src) or in a type 2 routing header (dst).
func Marshal(m Message, src, dst netip.Addr) ([]byte, error) {
	b, err := marshal(m, *m.mobilityOptions())
	if err != nil {
		return nil, err
	}
	if err := putChecksum(b, src, dst); err != nil {
		return nil, fmt.Errorf("mipv6: marshal %v: %w", m.Type(), err)
	}
	return b, nil
}

// marshal encodes a message with these options, checksum zero.
func marshal(m Message, options []Option) ([]byte, error) {
	t, n := m.Type(), headerLen+m.bodyLen()
	b := make([]byte, n, n+64)
	b[offsetPayloadProto] = ProtocolNone
	b[offsetType] = uint8(t)
	if err := m.marshal(b[headerLen:]); err != nil {
		return nil, fmt.Errorf("mipv6: marshal %v: %w", t, err)
	}
	b, err := appendOptions(b, options)
	if err != nil {
		return nil, fmt.Errorf("mipv6: marshal %v: %w", t, err)
	}
	if len(b) > maxMobilityLen {
		return nil, fmt.Errorf("mipv6: marshal %v: %d octets do not fit in a Mobility Header of at most %d", t, len(b), maxMobilityLen)
	}
	b[offsetHeaderLen] = uint8(len(b)/unit - 1)
	return b, nil
}

// Parse decodes a Mobility Header. It checks structure only, not the checksum
// (see [VerifyChecksum]) and not what the values mean. Octets that follow the
// header are ignored, as RFC 8200 §4.7 says for IPPROTO_NONE. Every error is a
// [*ParseError]; the tests are made in the order of RFC 6275 §9.2.
func Parse(b []byte) (Message, error) {
	h, err := extent(b)
	if err != nil {
		return nil, err
	}
	m, _, err := parse(h)
	return m, err
}

// parse decodes the header h, which is as long as its Header Len claims, and
// tells where its last option ends.
func parse(h []byte) (m Message, optionsEnd int, err error) {
	t := Type(h[offsetType])
	m = newMessage(t)
	if m == nil {
		return nil, 0, &ParseError{Kind: KindUnknownType, Type: t, Offset: offsetType}
	}
	if h[offsetPayloadProto] != ProtocolNone {
		return nil, 0, &ParseError{Kind: KindPayloadProto, Type: t, Offset: offsetPayloadProto}
	}
	end := headerLen + m.bodyLen()
	if len(h) < end {
		return nil, 0, &ParseError{Kind: KindHeaderLength, Type: t, Offset: offsetHeaderLen}
	}
	m.unmarshal(h[headerLen:end])
	options, optionsEnd, err := parseOptions(h, end, t)
	if err != nil {
		return nil, 0, err
	}
	*m.mobilityOptions() = options
	return m, optionsEnd, nil
}

// extent is the part of b that the Header Len claims.
func extent(b []byte) ([]byte, error) {
	if len(b) < headerLenMinimum {
		return nil, &ParseError{Kind: KindTruncated, Offset: len(b)}
	}
	n := (int(b[offsetHeaderLen]) + 1) * unit
	if len(b) < n {
		return nil, &ParseError{Kind: KindTruncated, Type: Type(b[offsetType]), Offset: len(b)}
	}
	return b[:n], nil
}

// PeekType tells the MH Type of an encoded message without parsing it, false
// if b is too short to have one.
func PeekType(b []byte) (Type, bool) {
	if len(b) <= offsetType {
		return 0, false
	}
	return Type(b[offsetType]), true
}

var order = binary.BigEndian
