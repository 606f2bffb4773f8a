package anycast

import (
	"encoding/binary"
	"fmt"

	"github.com/vanycast/vanycast/mipv6/rr"
)

// Mark is what a donor tells the acceptor of a client's binding (thesis §3.2.3,
// mip6_handoff_mark).
type Mark struct {
	// Sequence is the last number that the donor used with the client. The
	// acceptor uses the next.
	Sequence uint16
	// Bound says that the client knows the donor's care-of address; if not, it is
	// served through the home agent.
	Bound bool
	// HomeToken is a home keygen token that is still fresh, nil if the donor has
	// none. Its age is as of the moment of the Mark.
	HomeToken *rr.AgedHomeToken
}

// markVersion is the first octet of an encoded Mark.
const markVersion = 1

const (
	markBound = 1 << iota
	markToken
	markFlags = markBound | markToken
)

// markLen is version, flags, sequence number.
const markLen = 4

// MarshalBinary encodes the mark: version, flags, sequence number in network
// byte order, and the token if there is one.
func (m Mark) MarshalBinary() ([]byte, error) {
	var flags byte
	if m.Bound {
		flags |= markBound
	}
	if m.HomeToken != nil {
		flags |= markToken
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
