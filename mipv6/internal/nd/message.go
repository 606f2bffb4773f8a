// Package nd is a codec for what a home agent says and hears by ICMPv6: the
// messages of neighbour discovery (RFC 4861) that it defends home addresses
// with, router advertisements with what RFC 6275 §7 adds to them, and the
// discovery of home agents and of prefixes (RFC 6275 §6.5 to §6.8).
package nd

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// HopLimit is what every message of neighbour discovery has: it has not been
// through a router (RFC 4861 §7.1).
const HopLimit = 255

// Protocol is ICMPv6.
const Protocol = 58

// ICMPv6 types (RFC 4861 §4.3, §4.4).
const (
	TypeSolicitation  = 135
	TypeAdvertisement = 136
)

// Message is a Neighbor Solicitation or Neighbor Advertisement.
type Message struct {
	Advertisement bool
	// Flags of an advertisement (RFC 4861 §4.4).
	Router, Solicited, Override bool

	Target    netip.Addr
	LinkLayer net.HardwareAddr // source or target link-layer address option, if any
	Nonce     []byte           // Nonce option of RFC 3971 §5.3.2, if any; RFC 7527 tells own probes by it
}

const (
	offsetFlags  = 4
	offsetTarget = 8
	messageLen   = 24

	optionUnit            = 8
	optionHeaderLen       = 2
	optionSourceLinkLayer = 1
	optionTargetLinkLayer = 2
	optionNonce           = 14

	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// AllNodes is the link-local all-nodes group.
var AllNodes = netip.MustParseAddr("ff02::1")

// SolicitedNode is the group that a solicitation for target goes to (RFC 4291
// §2.7.1).
func SolicitedNode(target netip.Addr) netip.Addr {
	t := target.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
}

// Marshal encodes the ICMPv6 message with its checksum. Options are padded to
// their unit of 8 octets.
func (m *Message) Marshal(src, dst netip.Addr) []byte {
	b := make([]byte, messageLen)
	linkLayer := byte(optionSourceLinkLayer)
	b[0] = TypeSolicitation
	if m.Advertisement {
		b[0], linkLayer = TypeAdvertisement, optionTargetLinkLayer
		for _, f := range []struct {
			set bool
			bit byte
		}{{m.Router, flagRouter}, {m.Solicited, flagSolicited}, {m.Override, flagOverride}} {
			if f.set {
				b[offsetFlags] |= f.bit
			}
		}
	}
	target := m.Target.As16()
	copy(b[offsetTarget:], target[:])
	b = appendOption(b, linkLayer, m.LinkLayer)
	b = appendOption(b, optionNonce, m.Nonce)
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, Protocol, src, dst))
	return b
}

func appendOption(b []byte, t byte, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	units := (optionHeaderLen + len(data) + optionUnit - 1) / optionUnit
	o := make([]byte, units*optionUnit)
	o[0], o[1] = t, byte(units)
	copy(o[optionHeaderLen:], data)
	return append(b, o...)
}

// ErrMalformed says that a message was not what RFC 4861 §7.1 accepts.
var ErrMalformed = errors.New("nd: malformed neighbour discovery message")

// Parse decodes an ICMPv6 message, whose checksum the kernel has verified.
func Parse(b []byte) (*Message, error) {
	if len(b) < messageLen || b[0] != TypeSolicitation && b[0] != TypeAdvertisement || b[1] != 0 {
		return nil, ErrMalformed
	}
	m := &Message{Advertisement: b[0] == TypeAdvertisement, Target: netip.AddrFrom16([16]byte(b[offsetTarget:messageLen]))}
	if m.Target.IsMulticast() {
		return nil, ErrMalformed
	}
	linkLayer := byte(optionSourceLinkLayer)
	if m.Advertisement {
		f := b[offsetFlags]
		m.Router, m.Solicited, m.Override = f&flagRouter != 0, f&flagSolicited != 0, f&flagOverride != 0
		linkLayer = optionTargetLinkLayer
	}
	for o := b[messageLen:]; len(o) > 0; {
		if len(o) < optionUnit || o[1] == 0 || len(o) < int(o[1])*optionUnit {
			return nil, ErrMalformed
		}
		n := int(o[1]) * optionUnit
		data := append([]byte(nil), o[optionHeaderLen:n]...)
		switch o[0] {
		case linkLayer:
			m.LinkLayer = data
		case optionNonce:
			m.Nonce = data
		}
		o = o[n:]
	}
	return m, nil
}
