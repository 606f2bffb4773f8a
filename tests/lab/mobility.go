package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// tshark of Debian 12 does not verify the checksum of Mobility Headers, so it
// is done here. On purpose this uses nothing of package mipv6: a judge is no
// kin of the judged.

// IPv6 next header values.
const (
	protoHopByHop    = 0
	protoIPv6        = 41
	protoRouting     = 43
	protoDestination = 60
	protoMobility    = 135
)

// badMobility lists the frames whose Mobility Header has a wrong checksum or
// cannot be read.
func (c *Capture) badMobility() ([]string, error) {
	var bad []string
	err := eachFrame(c.path, func(f frame) error {
		if f.cut || len(f.data) < 14 || binary.BigEndian.Uint16(f.data[12:]) != 0x86dd {
			return nil
		}
		if err := checkMobility(f.data[14:]); err != nil {
			bad = append(bad, fmt.Sprintf("%d %v", f.number, err))
		}
		return nil
	})
	return bad, err
}

// checkMobility verifies the Mobility Header of an IPv6 packet, if it has one,
// inside tunnels too. The pseudo-header has the addresses of the mobile node
// as its home address (RFC 6275 §6.1.1): that of a Home Address option for
// the source, that of a type 2 routing header for the destination.
func checkMobility(p []byte) error {
	if len(p) < 40 {
		return fmt.Errorf("IPv6 header of %d bytes", len(p))
	}
	next, length := p[6], int(binary.BigEndian.Uint16(p[4:]))
	src, dst := [16]byte(p[8:24]), [16]byte(p[24:40])
	rest := p[40:]
	if length > len(rest) {
		return fmt.Errorf("IPv6 payload of %d bytes, %d are there", length, len(rest))
	}
	rest = rest[:length] // an Ethernet frame may be padded
	for {
		switch next {
		case protoIPv6:
			return checkMobility(rest)
		case protoMobility:
			if sum := checksum(src, dst, rest); sum != 0xffff {
				return fmt.Errorf("bad checksum of a Mobility Header from %v to %v: the sum is %#04x",
					netip.AddrFrom16(src), netip.AddrFrom16(dst), sum)
			}
			return nil
		case protoHopByHop, protoDestination, protoRouting:
			if len(rest) < 8 || len(rest) < 8*(int(rest[1])+1) {
				return fmt.Errorf("extension header %d of %d bytes", next, len(rest))
			}
			header := rest[:8*(int(rest[1])+1)]
			switch {
			case next == protoDestination:
				if home, ok := homeAddress(header); ok {
					src = home
				}
			case next == protoRouting && header[2] == 2 && header[3] == 1 && len(header) == 24:
				dst = [16]byte(header[8:])
			}
			next, rest = header[0], rest[len(header):]
		default:
			return nil
		}
	}
}

// homeAddress finds the Home Address option (RFC 6275 §6.3) of a destination
// options header.
func homeAddress(header []byte) (home [16]byte, ok bool) {
	const pad1, homeAddressOption = 0, 0xc9
	for o := header[2:]; len(o) > 0; {
		if o[0] == pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || len(o) < 2+int(o[1]) {
			return home, false
		}
		if o[0] == homeAddressOption && o[1] == 16 {
			return [16]byte(o[2:]), true
		}
		o = o[2+int(o[1]):]
	}
	return home, false
}

// checksum is the ones' complement sum over the pseudo-header and the message;
// 0xffff if the checksum in it is right (RFC 8200 §8.1).
func checksum(src, dst [16]byte, message []byte) uint16 {
	sum := uint32(len(message)) + protoMobility
	for _, part := range [][]byte{src[:], dst[:], message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
		if len(part)%2 == 1 {
			sum += uint32(part[len(part)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
