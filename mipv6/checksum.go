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

// checksum is that of a Mobility Header: zero over one whose checksum is right.
func checksum(b []byte, src, dst netip.Addr) uint16 {
	return Checksum(b, ProtocolMobility, src, dst)
}

// Checksum is the Internet checksum of an upper-layer packet with its
// pseudo-header (RFC 8200 §8.1); b has zero in its checksum field. Both
// addresses are IPv6. The roles need it for ICMPv6.
func Checksum(b []byte, protocol uint8, src, dst netip.Addr) uint16 {
	s, d := src.As16(), dst.As16()
	sum := sum16(s[:]) + sum16(d[:]) + uint64(len(b)) + uint64(protocol) + sum16(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// sum16 adds up 16-bit words, an odd last octet being followed by zero.
func sum16(b []byte) (sum uint64) {
	for ; len(b) > 1; b = b[2:] {
		sum += uint64(order.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}
