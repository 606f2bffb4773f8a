package anycast

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/relay"
)

// Mark is what a donor tells the acceptor of a client's binding (thesis §3.2.3,
// mip6_handoff_mark).
type Mark struct {
	// Sequence is the last number that the donor used with the client, or, of a
	// relayed connection, with its anchor. The acceptor uses the next.
	Sequence uint16
	// Bound says that the client knows the donor's care-of address, or, of a relayed
	// connection, the anchor's; if not, it is served through the home agent.
	Bound bool
	// HomeToken is a home keygen token that is still fresh, nil if the donor has
	// none. Its age is as of the moment of the Mark.
	HomeToken *rr.AgedHomeToken
	// Relayed says that the connection is relayed (package relay), at the donor by
	// Anchor, if that is valid: the client has no Mobile IPv6 (Immobile), or it has
	// other connections, which stay.
	Relayed  bool
	Immobile bool
	Anchor   netip.Addr
}

// relay is the mark of a relayed connection.
func (m Mark) relay() relay.Mark {
	return relay.Mark{Sequence: m.Sequence, Anchor: m.Anchor, Bound: m.Bound}
}

// markVersion is the first octet of an encoded Mark.
const markVersion = 1

const (
	markBound = 1 << iota
	markToken
	markRelayed
	markImmobile
	markFlags = markBound | markToken | markRelayed | markImmobile
)

// markLen is version, flags, sequence number.
const markLen = 4

// MarshalBinary encodes the mark: version, flags, sequence number in network
// byte order, and the token if there is one; or, of a relayed connection, the
// anchor's address (16, zero for none).
func (m Mark) MarshalBinary() ([]byte, error) {
	var flags byte
	if m.Bound {
		flags |= markBound
	}
	if m.HomeToken != nil {
		flags |= markToken
	}
	if m.Relayed {
		a := netip.IPv6Unspecified()
		if m.Anchor.IsValid() {
			a = m.Anchor
		}
		a16 := a.As16()
		flags |= markRelayed
		flags &^= markToken
		if m.Immobile {
			flags |= markImmobile
		}
		return append(binary.BigEndian.AppendUint16([]byte{markVersion, flags}, m.Sequence), a16[:]...), nil
	}
	b := binary.BigEndian.AppendUint16([]byte{markVersion, flags}, m.Sequence)
	if m.HomeToken == nil {
		return b, nil
	}
	return m.HomeToken.AppendBinary(b)
}

// UnmarshalBinary decodes exactly one mark.
func (m *Mark) UnmarshalBinary(b []byte) error {
	if len(b) < markLen {
		return fmt.Errorf("anycast: decode mark: %d octets, want at least %d", len(b), markLen)
	}
	if b[0] != markVersion {
		return fmt.Errorf("anycast: decode mark: version %d, want %d", b[0], markVersion)
	}
	flags := b[1]
	if flags&^markFlags != 0 {
		return fmt.Errorf("anycast: decode mark: unknown flags %#x", flags)
	}
	got := Mark{Sequence: binary.BigEndian.Uint16(b[2:]), Bound: flags&markBound != 0}
	switch rest := b[markLen:]; {
	case flags&^(markImmobile|markBound) == markRelayed && len(rest) == 16:
		got.Relayed, got.Immobile = true, flags&markImmobile != 0
		if a := netip.AddrFrom16([16]byte(rest)); !a.IsUnspecified() {
			got.Anchor = a
		}
		if got.Anchor.IsValid() && !mipv6.IsUnicastRoutable(got.Anchor) || got.Bound && !got.Anchor.IsValid() {
			return fmt.Errorf("anycast: decode mark: anchor %v", got.Anchor)
		}
	case flags&(markRelayed|markImmobile) != 0:
		return fmt.Errorf("anycast: decode mark: flags %#x with %d octets", flags, len(rest))
	case flags&markToken != 0:
		got.HomeToken = new(rr.AgedHomeToken)
		if err := got.HomeToken.UnmarshalBinary(rest); err != nil {
			return fmt.Errorf("anycast: decode mark: %w", err)
		}
	case len(rest) != 0:
		return fmt.Errorf("anycast: decode mark: %d octets too many", len(rest))
	}
	*m = got
	return nil
}
