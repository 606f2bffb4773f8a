package tcbpf

import (
	"encoding/binary"
	"net/netip"
)

// An ICMPv6 error quotes a packet as it was on the wire: with the addresses and
// headers that the programs gave it, which no transport here knows. This file
// tells which packet it was before.

type quoteKind uint8

const (
	quotedTunnel      quoteKind = iota + 1 // IPv6 in IPv6
	quotedHomeAddress                      // source care-of address, Home Address option
	quotedRouting                          // destination care-of address, type 2 routing header
)

// length is what the rewriting added.
func (k quoteKind) length() int {
	if k == quotedTunnel {
		return ipv6Length
	}
	return extensionLength
}

// quote is a quoted packet that one of our programs may have rewritten.
type quote struct {
	kind                quoteKind
	source, destination netip.Addr // on the wire
	// original is the packet before it was rewritten, cut off where the quotation
	// is, but at least header and eight bytes: the ports and the sequence number.
	original []byte
}

const (
	ipv6Length      = 40
	extensionLength = 24
	transportLength = 8

	protocolIPv6    = 41
	protocolRouting = 43
	protocolOptions = 60
)

// from and to are the original packet's addresses.
func (q *quote) from() netip.Addr { return netip.AddrFrom16([16]byte(q.original[8:24])) }
func (q *quote) to() netip.Addr   { return netip.AddrFrom16([16]byte(q.original[24:40])) }

// parseQuote undoes what encapsulate and insert_extension of bpf/ do. What has
// not their form was not rewritten by us: ok is false.
func parseQuote(b []byte) (q quote, ok bool) {
	if len(b) < ipv6Length || b[0]>>4 != 6 {
		return quote{}, false
	}
	q.source = netip.AddrFrom16([16]byte(b[8:24]))
	q.destination = netip.AddrFrom16([16]byte(b[24:40]))
	body := b[ipv6Length:]
	switch b[6] {
	case protocolIPv6:
		if len(body) < ipv6Length+transportLength || body[0]>>4 != 6 {
			return quote{}, false
		}
		q.kind = quotedTunnel
		q.original = body
		return q, true
	case protocolOptions:
		// Next header, 2 units of 8 behind the first, PadN of 4, option 0xC9 of 16.
		if len(body) < extensionLength+transportLength || [7]byte(body[1:8]) != [7]byte{2, 1, 2, 0, 0, 0xc9, 16} {
			return quote{}, false
		}
		q.kind = quotedHomeAddress
		q.original, ok = without(b, 8)
		return q, ok
	case protocolRouting:
		// Next header, 2 units, type 2, 1 segment left, reserved.
		if len(body) < extensionLength+transportLength || [7]byte(body[1:8]) != [7]byte{2, 2, 1, 0, 0, 0, 0} {
			return quote{}, false
		}
		q.kind = quotedRouting
		q.original, ok = without(b, 24)
		return q, ok
	default:
		return quote{}, false
	}
}

// without is the packet less the extension header behind its base header, and
// with that header's address at this place of the base header.
func without(b []byte, place int) ([]byte, bool) {
	length := binary.BigEndian.Uint16(b[4:])
	if length < extensionLength {
		return nil, false
	}
	p := make([]byte, 0, len(b)-extensionLength)
	p = append(p, b[:ipv6Length]...)
	p = append(p, b[ipv6Length+extensionLength:]...)
	binary.BigEndian.PutUint16(p[4:], length-extensionLength)
	p[6] = b[ipv6Length]
	copy(p[place:place+16], b[ipv6Length+8:])
	return p, true
}
