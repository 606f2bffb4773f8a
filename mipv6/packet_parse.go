package mipv6

import (
	"fmt"
	"net/netip"
)

// PacketError says why a packet was not accepted.
type PacketError struct {
	Offset int // of the offending octet, from the first of the packet
	Reason string
}

// Error implements error.
func (e *PacketError) Error() string {
	return fmt.Sprintf("mipv6: parse packet: %s (octet %d)", e.Reason, e.Offset)
}

// ParsePacket decodes a whole IPv6 packet. It goes through hop-by-hop options,
// destination options and routing headers; the first other header is the
// payload (a fragment header is not undone). Octets after the packet's end
// (link padding) are ignored. Every error is a [*PacketError]. The payload
// shares b's memory.
func ParsePacket(b []byte) (*Packet, error) { return parsePacket(b, false) }

// ParseQuoted is [ParsePacket] for the beginning of a packet, as an ICMPv6
// error quotes it (RFC 4443 §2.4(c)): the payload may be cut short, the
// extension headers may not.
func ParseQuoted(b []byte) (*Packet, error) { return parsePacket(b, true) }

func parsePacket(b []byte, quoted bool) (*Packet, error) {
	if len(b) < ipv6HeaderLen {
		return nil, &PacketError{len(b), "shorter than an IPv6 header"}
	}
	if b[0]>>4 != 6 {
		return nil, &PacketError{0, "version is not 6"}
	}
	end := ipv6HeaderLen + int(order.Uint16(b[4:]))
	if end > len(b) {
		if !quoted {
			return nil, &PacketError{4, "payload length runs over the end"}
		}
		end = len(b)
	}
	p := &Packet{
		Src: netip.AddrFrom16([16]byte(b[8:24])), Dst: netip.AddrFrom16([16]byte(b[24:40])),
		HopLimit: b[7], NextHeader: b[6],
	}
	i := ipv6HeaderLen
	for {
		var read func(b []byte, from int) error
		switch p.NextHeader {
		case protocolHopByHop:
			if i != ipv6HeaderLen {
				return nil, &PacketError{i, "hop-by-hop options not directly after the IPv6 header"}
			}
			read = p.readHopByHop
		case protocolDestOptions:
			read = p.readDestOptions
		case protocolRouting:
			read = p.readRouting
		default:
			p.Payload = b[i:end:end]
			return p, nil
		}
		if end-i < unit {
			return nil, &PacketError{i, "truncated extension header"}
		}
		n := (int(b[i+1]) + 1) * unit
		if end-i < n {
			return nil, &PacketError{i + 1, "extension header runs over the end"}
		}
		if err := read(b[i:i+n], i); err != nil {
			return nil, err
		}
		p.NextHeader = b[i]
		i += n
	}
}

func (p *Packet) readHopByHop(h []byte, from int) error {
	return eachOption(h, from, func(uint8, []byte, int) error { return nil })
}

func (p *Packet) readDestOptions(h []byte, from int) error {
	return eachOption(h, from, func(t uint8, data []byte, at int) error {
		if t != OptionHomeAddress {
			return nil
		}
		if len(data) != 16 {
			return &PacketError{at, "Home Address option of a wrong length"}
		}
		if p.HomeAddress.IsValid() {
			return &PacketError{at, "second Home Address option"} // RFC 6275 §6.3: at most one
		}
		p.HomeAddress = netip.AddrFrom16([16]byte(data))
		return nil
	})
}

// readRouting reads a routing header. One with no segments left is skipped,
// whatever its type; one of an unknown type with segments left is an error
// (RFC 8200 §4.4).
func (p *Packet) readRouting(h []byte, from int) error {
	segmentsLeft := h[3]
	switch {
	case segmentsLeft == 0:
		return nil
	case h[2] != routingTypeTwo:
		return &PacketError{from + 2, fmt.Sprintf("routing header of type %d with segments left", h[2])}
	case len(h) != typeTwoLen:
		return &PacketError{from + 1, "type 2 routing header of a wrong length"}
	case segmentsLeft != 1:
		return &PacketError{from + 3, "type 2 routing header with more than one segment left"}
	case p.RoutingHome.IsValid():
		return &PacketError{from, "second type 2 routing header"}
	}
	p.RoutingHome = netip.AddrFrom16([16]byte(h[routingHome:]))
	return nil
}

// eachOption calls f for every option but padding of an options header, which
// starts at this octet of the packet (RFC 8200 §4.2).
func eachOption(h []byte, from int, f func(t uint8, data []byte, at int) error) error {
	for i := optionHeaderLen; i < len(h); {
		if h[i] == optionPad1 {
			i++
			continue
		}
		if i+optionHeaderLen > len(h) {
			return &PacketError{from + i, "truncated option"}
		}
		data := i + optionHeaderLen
		next := data + int(h[i+1])
		if next > len(h) {
			return &PacketError{from + i + 1, "option runs over the end of its header"}
		}
		if h[i] != optionPadN {
			if err := f(h[i], h[data:next], from+i); err != nil {
				return err
			}
		}
		i = next
	}
	return nil
}

// FindDestinationOption is the data of the first option of a type in a
// destination options header (starting with its Next Header octet), false if
// it is not there or the header is malformed. Sockets get such headers as
// ancillary data.
func FindDestinationOption(h []byte, t uint8) (data []byte, found bool) {
	if len(h) < unit || len(h) < (int(h[1])+1)*unit {
		return nil, false
	}
	h = h[:(int(h[1])+1)*unit]
	err := eachOption(h, 0, func(got uint8, d []byte, _ int) error {
		if got == t && !found {
			data, found = d, true
		}
		return nil
	})
	if err != nil {
		return nil, false
	}
	return data, found
}
