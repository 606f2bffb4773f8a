package relay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// What replicas say to each other about relayed connections, in network byte
// order. All in one message is about one contact address; the owner is who sends
// it, as the channel has proven.
//
//	updates   version 8 (1) | flags 8 | count 16 | contact address 128 | count of:
//	          contact port 16 | client 128 | client port 16 | sequence 16 | lifetime 16 (of 4 s)
//	results   version 8 (1) | reserved 8 | count 16 | count of:
//	          status 8 | flags 8 (1: bound) | last sequence 16 | lifetime 16 (of 4 s)
//	anchor    version 8 (1) | phase 8 | epoch 16 | contact address 128
//
// Flag 1 of updates: late packets only, for the clients are bound to the owner. The
// answer to "anchor" is updates, without flags. The epoch is the sequence number of the
// sender's registration at the home agent; zero where it has none yet.
const (
	wireVersion = 1
	flagLate    = 1

	updatesLen = 4 + 16
	updateLen  = 2 + 16 + 2 + 2 + 2
	resultsLen = 4
	resultLen  = 6
	anchorLen  = 4 + 16

	// resultBound is the flag for Result.Bound.
	resultBound = 1

	// maxCount bounds the updates in an answer to "anchor".
	maxCount = 65535
)

// phase of an announcement.
type phase uint8

const (
	phaseCollect  phase = iota // I am about to be the contact node: what is yours?
	phaseAnnounce              // I am the contact node
	phases
)

// marshalUpdates encodes updates about one contact address, all of them late or
// none; their owner is not part of it.
func marshalUpdates(contact netip.Addr, all []Request) []byte {
	b := make([]byte, 0, updatesLen+len(all)*updateLen)
	var flags byte
	if len(all) > 0 && all[0].Late {
		flags = flagLate
	}
	b = binary.BigEndian.AppendUint16(append(b, wireVersion, flags), uint16(len(all)))
	b = appendAddr(b, contact)
	for _, r := range all {
		b = binary.BigEndian.AppendUint16(b, r.Contact.Port())
		b = appendAddr(b, r.Client.Addr())
		b = binary.BigEndian.AppendUint16(b, r.Client.Port())
		b = binary.BigEndian.AppendUint16(b, r.Sequence)
		b = binary.BigEndian.AppendUint16(b, units(r.Lifetime))
	}
	return b
}

// parseUpdates decodes updates of owner.
func parseUpdates(b []byte, owner netip.Addr) (contact netip.Addr, all []Request, err error) {
	if err := header("updates", b, updatesLen); err != nil {
		return netip.Addr{}, nil, err
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	contact = netip.AddrFrom16([16]byte(b[4:]))
	rest := b[updatesLen:]
	if b[1]&^flagLate != 0 || n == 0 && b[1] != 0 || len(rest) != n*updateLen {
		return netip.Addr{}, nil, fmt.Errorf("relay: decode updates: %w: %d octets for %d", ErrMalformed, len(b), n)
	}
	if !mipv6.IsUnicastRoutable(contact) {
		return netip.Addr{}, nil, fmt.Errorf("relay: decode updates: %w: contact address %v", ErrMalformed, contact)
	}
	all = make([]Request, 0, n)
	for ; len(rest) > 0; rest = rest[updateLen:] {
		r := Request{Owner: owner, Sequence: binary.BigEndian.Uint16(rest[20:]), Lifetime: duration(rest[22:]), Late: b[1]&flagLate != 0}
		r.Contact = netip.AddrPortFrom(contact, binary.BigEndian.Uint16(rest))
		r.Client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest[2:])), binary.BigEndian.Uint16(rest[18:]))
		if err := r.Conn.Check(); err != nil {
			return netip.Addr{}, nil, fmt.Errorf("relay: decode updates: %w: %w", ErrMalformed, err)
		}
		all = append(all, r)
	}
	return contact, all, nil
}

func marshalResults(all []Result) []byte {
	b := make([]byte, 0, resultsLen+len(all)*resultLen)
	b = binary.BigEndian.AppendUint16(append(b, wireVersion, 0), uint16(len(all)))
	for _, r := range all {
		var flags byte
		if r.Bound {
			flags |= resultBound
		}
		b = binary.BigEndian.AppendUint16(append(b, byte(r.Status), flags), r.Last)
		b = binary.BigEndian.AppendUint16(b, units(r.Lifetime))
	}
	return b
}

// parseResults decodes the answer to so many updates.
func parseResults(b []byte, want int) ([]Result, error) {
	if err := header("results", b, resultsLen); err != nil {
		return nil, err
	}
	n, rest := int(binary.BigEndian.Uint16(b[2:])), b[resultsLen:]
	if b[1] != 0 || n != want || len(rest) != n*resultLen {
		return nil, fmt.Errorf("relay: decode results: %w: %d octets for %d, want %d", ErrMalformed, len(b), n, want)
	}
	all := make([]Result, 0, n)
	for ; len(rest) > 0; rest = rest[resultLen:] {
		if rest[1]&^resultBound != 0 {
			return nil, fmt.Errorf("relay: decode results: %w: flags %#x", ErrMalformed, rest[1])
		}
		all = append(all, Result{
			Status: mipv6.Status(rest[0]), Last: binary.BigEndian.Uint16(rest[2:]), Lifetime: duration(rest[4:]),
			Bound: rest[1]&resultBound != 0,
		})
	}
	return all, nil
}

func marshalAnchor(contact netip.Addr, p phase, epoch uint16) []byte {
	return appendAddr(binary.BigEndian.AppendUint16([]byte{wireVersion, byte(p)}, epoch), contact)
}

func parseAnchor(b []byte) (contact netip.Addr, p phase, epoch uint16, err error) {
	if err := header("announcement", b, anchorLen); err != nil {
		return netip.Addr{}, 0, 0, err
	}
	contact, p, epoch = netip.AddrFrom16([16]byte(b[4:])), phase(b[1]), binary.BigEndian.Uint16(b[2:])
	if len(b) != anchorLen || p >= phases || p == phaseCollect && epoch != 0 || !mipv6.IsUnicastRoutable(contact) {
		return netip.Addr{}, 0, 0, fmt.Errorf("relay: decode announcement: %w: % x", ErrMalformed, b)
	}
	return contact, p, epoch, nil
}

// header checks what all messages begin with.
func header(what string, b []byte, least int) error {
	if len(b) < least {
		return fmt.Errorf("relay: decode %s: %w: %d octets, want at least %d", what, ErrMalformed, len(b), least)
	}
	if b[0] != wireVersion {
		return fmt.Errorf("relay: decode %s: %w: version %d, want %d", what, ErrMalformed, b[0], wireVersion)
	}
	return nil
}

func appendAddr(b []byte, a netip.Addr) []byte {
	a16 := a.As16()
	return append(b, a16[:]...)
}

// units rounds a lifetime down, but not to zero, which means something else.
func units(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min(max(d/lifetimeUnit, 1), 0xffff))
}

func duration(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint16(b)) * lifetimeUnit
}
