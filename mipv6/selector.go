package mipv6

import (
	"errors"
	"net/netip"
)

// TrafficSelector is an IPv6 binary traffic selector: a packet matches if each of
// its fields is in the selector's range (RFC 6088 §3.2). Zero ranges hold
// everything. Source and destination are those of packets to the mobile node.
type TrafficSelector struct {
	Source, Destination         Range[netip.Addr]
	SPI                         Range[uint32]
	FlowLabel                   Range[uint32] // 20 bits
	SourcePort, DestinationPort Range[uint16]
	TrafficClass                Range[uint8]
	Protocol                    Range[uint8]
}

// Range is what a field may be: anything, one value, or the values from Start to
// End.
type Range[T any] struct {
	Start, End T // End only if Kind is Span
	Kind       RangeKind
}

// RangeKind says how much a Range says.
type RangeKind uint8

const (
	Anything RangeKind = iota
	One
	Span
)

// Only is the range of one value.
func Only[T any](v T) Range[T] { return Range[T]{Start: v, Kind: One} }

// errSelector is a selector that the wire format cannot say.
var errSelector = errors.New("traffic selector has an address that is not IPv6, or an unknown kind of range")

const (
	selectorFlagsLen = 4
	// selectorReserved are the flags that RFC 6088 leaves.
	selectorReserved = 0x0000ffff
)

// field is one field of the format: two flags, its start and its end.
type field struct {
	size  int
	kind  *RangeKind
	write func(b []byte, end bool) bool
	read  func(b []byte, end bool)
}

// fields are those of the format, in its order.
func (s *TrafficSelector) fields() []field {
	return []field{
		addrField(&s.Source), addrField(&s.Destination), intField(&s.SPI, 4), intField(&s.FlowLabel, 4),
		intField(&s.SourcePort, 2), intField(&s.DestinationPort, 2), intField(&s.TrafficClass, 1), intField(&s.Protocol, 1),
	}
}

// side is the start of a range, or its end.
func (r *Range[T]) side(end bool) *T {
	if end {
		return &r.End
	}
	return &r.Start
}

func addrField(r *Range[netip.Addr]) field {
	return field{16, &r.Kind, func(b []byte, end bool) bool {
		a := *r.side(end)
		if !a.Is6() || a.Zone() != "" {
			return false
		}
		copy(b, a.AsSlice())
		return true
	}, func(b []byte, end bool) { *r.side(end) = netip.AddrFrom16([16]byte(b)) }}
}

func intField[T uint8 | uint16 | uint32](r *Range[T], size int) field {
	return field{size, &r.Kind, func(b []byte, end bool) bool {
		v := *r.side(end)
		for i := range b {
			b[i] = uint8(uint32(v) >> (8 * (len(b) - 1 - i)))
		}
		return true
	}, func(b []byte, end bool) {
		var v uint32
		for _, o := range b {
			v = v<<8 | uint32(o)
		}
		*r.side(end) = T(v)
	}}
}

// append appends the selector as it is on the wire.
func (s *TrafficSelector) append(b []byte) ([]byte, error) {
	at := len(b)
	b = append(b, make([]byte, selectorFlagsLen)...)
	var flags uint32
	for i, f := range s.fields() {
		if *f.kind > Span {
			return nil, errSelector
		}
		for n := range int(*f.kind) {
			flags |= 1 << (31 - 2*i - n)
			b = append(b, make([]byte, f.size)...)
			if !f.write(b[len(b)-f.size:], n == 1) {
				return nil, errSelector
			}
		}
	}
	order.PutUint32(b[at:], flags)
	return b, nil
}

// parse reads it; false if it is too short or too long, has an end without its
// start, or flags that mean nothing.
func (s *TrafficSelector) parse(b []byte) bool {
	if len(b) < selectorFlagsLen {
		return false
	}
	flags := order.Uint32(b)
	b = b[selectorFlagsLen:]
	for i, f := range s.fields() {
		start, end := flags&(1<<(31-2*i)) != 0, flags&(1<<(30-2*i)) != 0
		if end && !start {
			return false
		}
		for n, set := range []bool{start, end} {
			if !set {
				continue
			}
			if len(b) < f.size {
				return false
			}
			f.read(b[:f.size], n == 1)
			*f.kind++
			b = b[f.size:]
		}
	}
	return len(b) == 0 && flags&selectorReserved == 0
}
