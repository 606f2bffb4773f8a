package mipv6

import (
	"fmt"
	"net/netip"
)

// BindingIdentifier is the Binding Identifier mobility option: it tells the
// bindings of one home address apart, so that there may be several (RFC 5648
// §4.1, with the priority of RFC 6089 §4.1).
type BindingIdentifier struct {
	ID uint16 // BID; zero is reserved
	// Status of a Binding Acknowledgement counts for this binding alone; zero
	// leaves the acknowledgement's own.
	Status Status
	// Home (H): the mobile node is at home and away at the same time (§5.6).
	Home bool
	// Priority is BID-PRI, at most 127: of the bindings, the one with the least
	// gets what no flow binding claims.
	Priority uint8
	// CareOf is the care-of address if it is not told elsewhere in the packet; it
	// may be an IPv4 address (RFC 5555). Invalid: none.
	CareOf netip.Addr
}

// LeastBindingPriority is BID-PRI of a binding that comes after all others.
const LeastBindingPriority = maxBindingIDPriority

// Option Data: BID (2), Status (1), H and BID-PRI (1), care-of address (0, 4, 16).
const (
	bindingIDStatus = 2
	bindingIDFlags  = 3
	bindingIDLen    = 4

	flagBindingIDHome    = 0x80
	maxBindingIDPriority = 0x7f
)

func (*BindingIdentifier) optionType() uint8 { return optionBindingIdentifier }

// 2n, and 8n+2 with an IPv6 address, which so stands at a multiple of 8 octets.
func (o *BindingIdentifier) align() (of, at int) {
	if o.CareOf.Is6() {
		return 8, 2
	}
	return 2, 0
}

func (o *BindingIdentifier) marshal(b []byte) ([]byte, error) {
	if o.Priority > maxBindingIDPriority {
		return nil, fmt.Errorf("priority %d of a binding is not within 0 and %d", o.Priority, maxBindingIDPriority)
	}
	flags := o.Priority
	if o.Home {
		flags |= flagBindingIDHome
	}
	b = append(order.AppendUint16(b, o.ID), uint8(o.Status), flags)
	return append(b, o.CareOf.AsSlice()...), nil
}

func (o *BindingIdentifier) unmarshal(b []byte) bool {
	if len(b) < bindingIDLen {
		return false
	}
	o.ID, o.Status = order.Uint16(b), Status(b[bindingIDStatus])
	o.Home, o.Priority = b[bindingIDFlags]&flagBindingIDHome != 0, b[bindingIDFlags]&maxBindingIDPriority
	switch b = b[bindingIDLen:]; len(b) {
	case 0:
	case 4:
		o.CareOf = netip.AddrFrom4([4]byte(b))
	case 16:
		o.CareOf = netip.AddrFrom16([16]byte(b))
	default:
		return false
	}
	return true
}
