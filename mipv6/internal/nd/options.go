package nd

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// Options of neighbour discovery (RFC 4861 §4.6) that a home agent's router
// advertisements and prefix advertisements have.
const (
	optionPrefixInformation    = 3 // RFC 4861 §4.6.2, with the R flag of RFC 6275 §7.2
	optionHomeAgentInformation = 8 // RFC 6275 §7.4

	prefixInformationLen = 4 * optionUnit
	homeAgentInfoLen     = optionUnit

	flagOnLink        = 0x80
	flagAutonomous    = 0x40
	flagRouterAddress = 0x20
)

// Infinity is the lifetime of a prefix that does not end (RFC 4861 §4.6.2).
const Infinity = time.Duration(1<<32-1) * time.Second

// PrefixInformation is a Prefix Information option.
type PrefixInformation struct {
	// Prefix is the prefix; with RouterAddress its address is the router's own
	// global address, all bits of it (RFC 6275 §7.2).
	Prefix                            netip.Prefix
	OnLink, Autonomous, RouterAddress bool
	Valid, Preferred                  time.Duration // whole seconds; Infinity for ever
}

func (p PrefixInformation) append(b []byte) []byte {
	o := make([]byte, prefixInformationLen)
	o[0], o[1], o[2] = optionPrefixInformation, prefixInformationLen/optionUnit, byte(p.Prefix.Bits())
	for _, f := range []struct {
		set bool
		bit byte
	}{{p.OnLink, flagOnLink}, {p.Autonomous, flagAutonomous}, {p.RouterAddress, flagRouterAddress}} {
		if f.set {
			o[3] |= f.bit
		}
	}
	binary.BigEndian.PutUint32(o[4:], seconds32(p.Valid))
	binary.BigEndian.PutUint32(o[8:], seconds32(p.Preferred))
	a := p.Prefix.Addr().As16()
	if !p.RouterAddress {
		a = p.Prefix.Masked().Addr().As16()
	}
	copy(o[16:], a[:])
	return append(b, o...)
}

// ParsePrefixInformation decodes one option, from its type on; false if it is
// not one, or says what cannot be.
func ParsePrefixInformation(o []byte) (PrefixInformation, bool) {
	if len(o) < prefixInformationLen || o[0] != optionPrefixInformation || int(o[1])*optionUnit != prefixInformationLen {
		return PrefixInformation{}, false
	}
	bits := int(o[2])
	if bits > 128 {
		return PrefixInformation{}, false
	}
	p := PrefixInformation{
		Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte(o[16:])), bits),
		OnLink: o[3]&flagOnLink != 0, Autonomous: o[3]&flagAutonomous != 0, RouterAddress: o[3]&flagRouterAddress != 0,
		Valid:     time.Duration(binary.BigEndian.Uint32(o[4:])) * time.Second,
		Preferred: time.Duration(binary.BigEndian.Uint32(o[8:])) * time.Second,
	}
	return p, p.Preferred <= p.Valid
}

// HomeAgentInformation is the option of RFC 6275 §7.4.
type HomeAgentInformation struct {
	Preference uint16
	Lifetime   time.Duration // whole seconds, at most 65535
}

func (h HomeAgentInformation) append(b []byte) []byte {
	o := make([]byte, homeAgentInfoLen)
	o[0], o[1] = optionHomeAgentInformation, 1
	binary.BigEndian.PutUint16(o[4:], h.Preference)
	binary.BigEndian.PutUint16(o[6:], seconds16(h.Lifetime))
	return append(b, o...)
}

// options are those of a message that are known here; others are skipped.
type options struct {
	linkLayer net.HardwareAddr // source link-layer address
	prefixes  []PrefixInformation
	agent     *HomeAgentInformation
}

// maxPrefixes bounds what is kept of one message.
const maxPrefixes = 64

func parseOptions(b []byte) (found options, err error) {
	for len(b) > 0 {
		if len(b) < optionUnit || b[1] == 0 || len(b) < int(b[1])*optionUnit {
			return found, ErrMalformed
		}
		n := int(b[1]) * optionUnit
		o := b[:n]
		b = b[n:]
		switch {
		case o[0] == optionSourceLinkLayer:
			found.linkLayer = append(net.HardwareAddr(nil), o[optionHeaderLen:]...)
		case o[0] == optionPrefixInformation && n == prefixInformationLen && len(found.prefixes) < maxPrefixes:
			if p, ok := ParsePrefixInformation(o); ok {
				found.prefixes = append(found.prefixes, p)
			}
		case o[0] == optionHomeAgentInformation && n == homeAgentInfoLen:
			found.agent = &HomeAgentInformation{
				Preference: binary.BigEndian.Uint16(o[4:]), Lifetime: time.Duration(binary.BigEndian.Uint16(o[6:])) * time.Second,
			}
		}
	}
	return found, nil
}

func seconds16(d time.Duration) uint16 {
	return uint16(max(0, min(d/time.Second, 1<<16-1)))
}

func seconds32(d time.Duration) uint32 {
	return uint32(max(0, min(d/time.Second, 1<<32-1)))
}
