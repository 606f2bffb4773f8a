package xfrm

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// Sizes of the kernel's structures, in bytes: they have no other length.
const (
	sizeSelector   = 56
	sizeState      = 224 // struct xfrm_usersa_info
	sizeStateID    = 24  // struct xfrm_usersa_id
	sizePolicy     = 168 // struct xfrm_userpolicy_info
	sizePolicyID   = 64  // struct xfrm_userpolicy_id
	sizePolicyType = 6   // struct xfrm_userpolicy_type
	sizeTemplate   = 64  // struct xfrm_user_tmpl
	sizeReport     = 60  // struct xfrm_user_report
	sizeReplay     = 12  // struct xfrm_replay_state
)

// selector says which packets a policy is for.
type selector struct {
	src, dst netip.Prefix
	protocol uint8 // 0: any
	mobility uint8 // MH Type + 1, where protocol is that of Mobility Headers; 0: any
	// of a connection; 0: any
	srcPort, dstPort uint16
}

// marshal writes a struct xfrm_selector.
func (s selector) marshal(b []byte) {
	put16(b[0:], s.dst.Addr())
	put16(b[16:], s.src.Addr())
	// For a Mobility Header the source port is its type.
	if s.mobility > 0 {
		binary.BigEndian.PutUint16(b[36:], uint16(s.mobility-1))
		binary.BigEndian.PutUint16(b[38:], 0xffff)
	}
	if s.srcPort > 0 {
		binary.BigEndian.PutUint16(b[32:], s.dstPort)
		binary.BigEndian.PutUint16(b[34:], 0xffff)
		binary.BigEndian.PutUint16(b[36:], s.srcPort)
		binary.BigEndian.PutUint16(b[38:], 0xffff)
	}
	nlenc.PutUint16(b[40:42], unix.AF_INET6)
	b[42], b[43], b[44] = uint8(s.dst.Bits()), uint8(s.src.Bits()), s.protocol
}

func parseSelector(b []byte) selector {
	s := selector{
		dst:      netip.PrefixFrom(get16(b[0:]), int(b[42])),
		src:      netip.PrefixFrom(get16(b[16:]), int(b[43])),
		protocol: b[44],
	}
	switch port := binary.BigEndian.Uint16(b[36:]); {
	case binary.BigEndian.Uint16(b[38:]) != 0xffff:
	case s.protocol == protocolMobility:
		s.mobility = uint8(port) + 1
	default:
		s.srcPort, s.dstPort = port, binary.BigEndian.Uint16(b[32:])
	}
	return s
}

// putLifetime writes a struct xfrm_lifetime_cfg without any limit.
func putLifetime(b []byte) {
	for i := range 4 { // bytes and packets, soft and hard; times stay 0
		nlenc.PutUint64(b[8*i:8*i+8], infinite)
	}
}

// lifetime is the part of struct xfrm_lifetime_cur that we look at.
type lifetime struct {
	packets uint64
	used    uint64 // seconds since 1970; 0 for never
}

func parseLifetime(b []byte) lifetime {
	return lifetime{packets: nlenc.Uint64(b[8:16]), used: nlenc.Uint64(b[24:32])}
}

func put16(b []byte, a netip.Addr) {
	raw := a.As16()
	copy(b, raw[:])
}

func get16(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }
