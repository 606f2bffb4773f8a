package mipv6

import (
	"fmt"
	"net/netip"
)

// VerifyChecksum tells whether the checksum of the Mobility Header b is right
// for the pseudo-header of src and dst (RFC 6275 §6.1.1, §9.2): the home
// address is passed where the packet has it in a Home Address option (src) or
// in a type 2 routing header (dst).
func VerifyChecksum(b []byte, src, dst netip.Addr) bool {
	h, err := extent(b)
	if err != nil || !src.Is6() || !dst.Is6() {
		return false
	}
	return checksum(h, src, dst) == 0
}

// putChecksum computes the checksum of the header b, whose checksum field is
// zero, and stores it.
func putChecksum(b []byte, src, dst netip.Addr) error {
	if !src.Is6() || !dst.Is6() {
		return fmt.Errorf("checksum from %v to %v: not IPv6 addresses", src, dst)
	}
	order.PutUint16(b[offsetChecksum:], checksum(b, src, dst))
	return nil
}

// checksum is the one's complement sum over pseudo-header and header (RFC 8200
// §8.1), complemented: zero over a header whose checksum is right. The length
// of b is even, for it is a multiple of 8.
func checksum(b []byte, src, dst netip.Addr) uint16 {
	s, d := src.As16(), dst.As16()
	sum := sum16(s[:]) + sum16(d[:]) + uint32(len(b)) + ProtocolMobility + sum16(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// sum16 adds up 16-bit words; at most 1024 of them (maxMobilityLen), so the
// sum does not overflow.
func sum16(b []byte) (sum uint32) {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(order.Uint16(b[i:]))
	}
	return sum
}
