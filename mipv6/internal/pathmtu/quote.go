package pathmtu

import (
	"encoding/binary"
	"net/netip"
)

// Kind says how the packet was rewritten.
type Kind uint8

const (
	Tunnel        Kind = iota + 1 // IPv6 in IPv6
	HomeAddress                   // source care-of address, Home Address option
	RoutingHeader                 // destination care-of address, type 2 routing header
)

// Length is what the rewriting added, in bytes.
func (k Kind) Length() int {
	if k == Tunnel {
		return ipv6Length
	}
	return ExtensionLength
}

// Quote is a quoted packet that a data plane may have rewritten.
type Quote struct {
	Kind                Kind
	Source, Destination netip.Addr // on the wire
	// Original is the packet before it was rewritten, cut off where the quotation
	// is, but at least header and eight bytes: the ports and the sequence number.
	Original []byte
}

// ExtensionLength is that of either extension header, in bytes.
const ExtensionLength = 24

const (
	ipv6Length      = 40
	transportLength = 8

	protocolIPv6    = 41
	protocolRouting = 43
	protocolOptions = 60
)

// From is the original packet's source.
func (q *Quote) From() netip.Addr { return netip.AddrFrom16([16]byte(q.Original[8:24])) }

// To is the original packet's destination.
func (q *Quote) To() netip.Addr { return netip.AddrFrom16([16]byte(q.Original[24:40])) }

// parse undoes what the data planes do. What has
// not their form was not rewritten by us: ok is false.
func parse(b []byte) (q Quote, ok bool) {
	if len(b) < ipv6Length || b[0]>>4 != 6 {
		return Quote{}, false
	}
	q.Source = netip.AddrFrom16([16]byte(b[8:24]))
	q.Destination = netip.AddrFrom16([16]byte(b[24:40]))
	body := b[ipv6Length:]
	switch b[6] {
	case protocolIPv6:
		if len(body) < ipv6Length+transportLength || body[0]>>4 != 6 {
			return Quote{}, false
		}
		q.Kind = Tunnel
		q.Original = body
		return q, true
	case protocolOptions:
		// Next header, 2 units of 8 behind the first, PadN of 4, option 0xC9 of 16.
		if len(body) < ExtensionLength+transportLength || [7]byte(body[1:8]) != [7]byte{2, 1, 2, 0, 0, 0xc9, 16} {
			return Quote{}, false
		}
		q.Kind = HomeAddress
		q.Original, ok = without(b, 8)
		return q, ok
	case protocolRouting:
		// Next header, 2 units, type 2, 1 segment left, reserved.
		if len(body) < ExtensionLength+transportLength || [7]byte(body[1:8]) != [7]byte{2, 2, 1, 0, 0, 0, 0} {
			return Quote{}, false
		}
		q.Kind = RoutingHeader
		q.Original, ok = without(b, 24)
		return q, ok
	default:
		return Quote{}, false
	}
}

// without is the packet less the extension header behind its base header, and
// with that header's address at this place of the base header.
func without(b []byte, place int) ([]byte, bool) {
	length := binary.BigEndian.Uint16(b[4:])
	if length < ExtensionLength {
		return nil, false
	}
	p := make([]byte, 0, len(b)-ExtensionLength)
	p = append(p, b[:ipv6Length]...)
	p = append(p, b[ipv6Length+ExtensionLength:]...)
	binary.BigEndian.PutUint16(p[4:], length-ExtensionLength)
	p[6] = b[ipv6Length]
	copy(p[place:place+16], b[ipv6Length+8:])
	return p, true
}
