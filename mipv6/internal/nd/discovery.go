package nd

import (
	"encoding/binary"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// ICMPv6 types by which mobile nodes ask home agents, and are answered
// (RFC 6275 §6.5 to §6.8).
const (
	TypeHomeAgentRequest    = 144 // Home Agent Address Discovery Request
	TypeHomeAgentReply      = 145 // Home Agent Address Discovery Reply
	TypePrefixSolicitation  = 146 // Mobile Prefix Solicitation
	TypePrefixAdvertisement = 147 // Mobile Prefix Advertisement
)

const (
	queryLen         = 8
	offsetIdentifier = 4
	addressLen       = 16
	minimumMTU       = 1280 // RFC 8200 §5
	headerLen        = 40
)

// MaxHomeAgents is how many addresses a Home Agent Address Discovery Reply has
// at most: it must fit the minimum MTU (RFC 6275 §10.5).
const MaxHomeAgents = (minimumMTU - headerLen - queryLen) / addressLen

// Query is a Home Agent Address Discovery Request or a Mobile Prefix
// Solicitation.
type Query struct {
	Type       uint8
	Identifier uint16
}

// ParseQuery decodes one. Reserved bits are ignored.
func ParseQuery(b []byte) (Query, error) {
	if len(b) < queryLen || b[1] != 0 || b[0] != TypeHomeAgentRequest && b[0] != TypePrefixSolicitation {
		return Query{}, ErrMalformed
	}
	return Query{Type: b[0], Identifier: binary.BigEndian.Uint16(b[offsetIdentifier:])}, nil
}

// HomeAgentReply encodes a Home Agent Address Discovery Reply; of more than
// MaxHomeAgents addresses the first.
func HomeAgentReply(identifier uint16, agents []netip.Addr, src, dst netip.Addr) []byte {
	b := make([]byte, queryLen, queryLen+len(agents)*addressLen)
	b[0] = TypeHomeAgentReply
	binary.BigEndian.PutUint16(b[offsetIdentifier:], identifier)
	for _, a := range agents[:min(len(agents), MaxHomeAgents)] {
		raw := a.As16()
		b = append(b, raw[:]...)
	}
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, Protocol, src, dst))
	return b
}

// PrefixAdvertisement encodes a Mobile Prefix Advertisement. dst is the mobile
// node's home address, which the checksum is over (RFC 6275 §6.8).
func PrefixAdvertisement(identifier uint16, prefixes []PrefixInformation, src, dst netip.Addr) []byte {
	b := make([]byte, queryLen)
	b[0] = TypePrefixAdvertisement
	binary.BigEndian.PutUint16(b[offsetIdentifier:], identifier)
	for _, p := range prefixes {
		b = p.append(b)
	}
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, Protocol, src, dst))
	return b
}

// HomeAgentsAnycast is the anycast address of the home agents of a prefix
// (RFC 2526 §2, §3); false for a prefix that is too long to have one.
func HomeAgentsAnycast(p netip.Prefix) (netip.Addr, bool) {
	const identifier = 0x7e // of seven bits; those before it are ones, but the universal bit of a 64 bit interface identifier
	if p.Bits() > 121 {
		return netip.Addr{}, false
	}
	a := p.Masked().Addr().As16()
	for i := range a {
		first := i*8 - p.Bits() // this octet's first bit within the interface identifier
		switch {
		case first >= 0:
			a[i] = 0xff
		case first > -8:
			a[i] |= 0xff >> uint(-(first))
		}
	}
	a[15] = a[15]&0x80 | identifier
	if p.Bits() == 64 { // EUI-64 format: the universal/local bit is 0
		a[8] = 0xfd
	}
	return netip.AddrFrom16(a), true
}
