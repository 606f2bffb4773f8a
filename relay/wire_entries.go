package relay

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// What replicas say to each other about a client's binding that moves. Entries are
// part of a message of package anycast; "bound" goes to their owners, and has an
// empty answer; one who does not hold still answers with an error.
//
//	entries   count 16 | count of: contact port 16 | client port 16 | sequence 16 | owner 128
//	bound     version 8 (1) | stage 8 | round 16 | contact address 128 | client 128
//
// The round tells what is late: "free" ends the "still" of the same round. That of
// other stages is zero.
const (
	entryLen = 2 + 2 + 2 + 16
	boundLen = 4 + 16 + 16
)

// stage says how far the binding of a client is with who says so.
type stage uint8

const (
	stageExpect stage = iota // I am about to bind it to myself: take what I send on, and send through me
	stageBound               // it is bound to me: register with me
	stageStill               // I am about to cede it: let the handoffs of its connections end, and begin none
	stageFree                // it stays with me: go on
	stageReturn              // it was not to be: send through its anchor again
	stages
)

func marshalBound(p clientPair, s stage, round uint16) []byte {
	b := binary.BigEndian.AppendUint16([]byte{wireVersion, byte(s)}, round)
	return appendAddr(appendAddr(b, p.contact), p.client)
}

func parseBound(b []byte) (p clientPair, s stage, round uint16, err error) {
	if err := header("bound", b, boundLen); err != nil {
		return p, 0, 0, err
	}
	p, s = clientPair{netip.AddrFrom16([16]byte(b[4:])), netip.AddrFrom16([16]byte(b[20:]))}, stage(b[1])
	round = binary.BigEndian.Uint16(b[2:])
	if len(b) != boundLen || s >= stages || round != 0 && s != stageStill && s != stageFree || p.contact == p.client ||
		!mipv6.IsUnicastRoutable(p.contact) || !mipv6.IsUnicastRoutable(p.client) {
		return clientPair{}, 0, 0, fmt.Errorf("relay: decode bound: %w: % x", ErrMalformed, b)
	}
	return p, s, round, nil
}

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
