package mipv6

import (
	"fmt"
	"net/netip"
)

// Packet is a whole IPv6 packet as Mobile IPv6 sees it: what is sent through
// an IPPROTO_RAW socket, what ICMPv6 errors quote, what tests capture.
type Packet struct {
	Src, Dst    netip.Addr // of the base header: a mobile node's is its care-of address
	HomeAddress netip.Addr // of a Home Address option (RFC 6275 §6.3), if valid
	RoutingHome netip.Addr // of a type 2 routing header (RFC 6275 §6.4), if valid
	HopLimit    uint8
	NextHeader  uint8  // of the payload, after the extension headers
	Payload     []byte // what follows them
}

// Lengths in octets of what IPv6 puts before a payload (RFC 8200 §3, RFC 6275
// §6.3, §6.4).
const (
	ipv6HeaderLen    = 40
	homeAddressLen   = 24 // destination options header with a Home Address option only
	typeTwoLen       = 24 // type 2 routing header
	maxPayloadLength = 0xffff
)

// Extension headers (RFC 8200 §4).
const (
	protocolHopByHop    = 0
	protocolRouting     = 43
	protocolDestOptions = 60
)

const (
	// OptionHomeAddress is the Option Type of the Home Address destination
	// option (RFC 6275 §6.3): "discard and send an ICMPv6 parameter problem"
	// to who does not know it.
	OptionHomeAddress = 0xc9

	homeAddressOption = 6 // its offset in the header: 8n+6 (§6.3)
	routingTypeTwo    = 2
	routingHome       = 8 // offset of the home address in a type 2 routing header
)

// ChecksumAddresses are the addresses that stand in an upper-layer
// pseudo-header: the home addresses where the packet has them (RFC 6275
// §6.1.1, §11.3.1).
func (p *Packet) ChecksumAddresses() (src, dst netip.Addr) {
	src, dst = p.Src, p.Dst
	if p.HomeAddress.IsValid() {
		src = p.HomeAddress
	}
	if p.RoutingHome.IsValid() {
		dst = p.RoutingHome
	}
	return src, dst
}

// Carry makes m the packet's payload, with the checksum that the packet's
// addresses and home addresses want, authenticated if mac is not nil (see
// [MarshalAuthenticated]).
func (p *Packet) Carry(m Message, mac func(mhData []byte) Authenticator) error {
	src, dst := p.ChecksumAddresses()
	var b []byte
	var err error
	if mac != nil {
		b, err = MarshalAuthenticated(m, src, dst, mac)
	} else {
		b, err = Marshal(m, src, dst)
	}
	if err != nil {
		return err
	}
	p.NextHeader, p.Payload = ProtocolMobility, b
	return nil
}

// MarshalBinary encodes the packet: base header, then the type 2 routing
// header, then the Home Address option, as RFC 6275 §6.3 orders them, then the
// payload as it is.
func (p *Packet) MarshalBinary() ([]byte, error) {
	for _, a := range []netip.Addr{p.Src, p.Dst} {
		if !a.Is6() {
			return nil, fmt.Errorf("mipv6: marshal packet from %v to %v: not IPv6 addresses", p.Src, p.Dst)
		}
	}
	b := make([]byte, ipv6HeaderLen, ipv6HeaderLen+typeTwoLen+homeAddressLen+len(p.Payload))
	next := &b[6]
	if p.RoutingHome.IsValid() {
		h := [typeTwoLen]byte{1: typeTwoLen/unit - 1, 2: routingTypeTwo, 3: 1}
		if err := putAddr(h[routingHome:], p.RoutingHome, "home address"); err != nil {
			return nil, fmt.Errorf("mipv6: marshal type 2 routing header: %w", err)
		}
		*next, b = protocolRouting, append(b, h[:]...)
		next = &b[len(b)-typeTwoLen]
	}
	if p.HomeAddress.IsValid() {
		h := [homeAddressLen]byte{1: homeAddressLen/unit - 1, 2: optionPadN, 3: homeAddressOption - 4,
			homeAddressOption: OptionHomeAddress, homeAddressOption + 1: 16}
		if err := putAddr(h[homeAddressOption+2:], p.HomeAddress, "home address"); err != nil {
			return nil, fmt.Errorf("mipv6: marshal Home Address option: %w", err)
		}
		*next, b = protocolDestOptions, append(b, h[:]...)
		next = &b[len(b)-homeAddressLen]
	}
	*next = p.NextHeader
	b = append(b, p.Payload...)
	length := len(b) - ipv6HeaderLen
	if length > maxPayloadLength {
		return nil, fmt.Errorf("mipv6: marshal packet: payload length %d, at most %d fit", length, maxPayloadLength)
	}
	src, dst := p.Src.As16(), p.Dst.As16()
	b[0] = 6 << 4
	order.PutUint16(b[4:], uint16(length))
	b[7] = p.HopLimit
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	return b, nil
}
