package relay

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

const entryLen = 2 + 2 + 2 + 16

// AppendEntries encodes the connections of one client.
func AppendEntries(b []byte, all []Entry) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	for _, e := range all {
		b = binary.BigEndian.AppendUint16(b, e.Contact.Port())
		b = binary.BigEndian.AppendUint16(b, e.Client.Port())
		b = binary.BigEndian.AppendUint16(b, e.Sequence)
		b = appendAddr(b, e.Owner)
	}
	return b
}

// ParseEntries decodes exactly one list of a client's connections. They expire
// when the receiver says.
func ParseEntries(contact, client netip.Addr, b []byte) ([]Entry, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("relay: decode entries: %w: %d octets", ErrMalformed, len(b))
	}
	n := int(binary.BigEndian.Uint16(b))
	rest := b[2:]
	if n > maxCarried || len(rest) != n*entryLen {
		return nil, fmt.Errorf("relay: decode entries: %w: %d octets for %d", ErrMalformed, len(rest), n)
	}
	all := make([]Entry, 0, n)
	for ; len(rest) > 0; rest = rest[entryLen:] {
		e := Entry{
			Conn: Conn{
				netip.AddrPortFrom(contact, binary.BigEndian.Uint16(rest)),
				netip.AddrPortFrom(client, binary.BigEndian.Uint16(rest[2:])),
			},
			Sequence: binary.BigEndian.Uint16(rest[4:]), Owner: netip.AddrFrom16([16]byte(rest[6:])),
		}
		err := e.Conn.Check()
		if err == nil && !mipv6.IsUnicastRoutable(e.Owner) {
			err = fmt.Errorf("owner %v", e.Owner)
		}
		if err != nil {
			return nil, fmt.Errorf("relay: decode entries: %w: %w", ErrMalformed, err)
		}
		all = append(all, e)
	}
	return all, nil
}
