package mipv6

import "fmt"

// Option is a mobility option (RFC 6275 §6.2). Pointers to the option structs
// of this package implement it, nothing else can. Padding is not an Option:
// [Marshal] makes it and [Parse] drops it.
type Option interface {
	// optionType is the Option Type on the wire.
	optionType() uint8
	// align is the option's alignment requirement: its Option Type stands at
	// an offset of n*of+at octets from the start of the Mobility Header.
	align() (of, at int)
	// marshal appends the Option Data.
	marshal(b []byte) ([]byte, error)
	// unmarshal reads it; false if it has a wrong length.
	unmarshal(b []byte) bool
}

// Option types of RFC 6275 §6.2.2 to §6.2.7.
const (
	optionPad1              = 0
	optionPadN              = 1
	optionRefreshAdvice     = 2
	optionAlternateCareOf   = 3
	optionNonceIndices      = 4
	optionAuthorizationData = 5

	// RFC 5648 §4.1; RFC 6089 §4.2, §4.3.
	optionBindingIdentifier  = 35
	optionFlowSummary        = 44
	optionFlowIdentification = 45

	optionHeaderLen  = 2 // Option Type, Option Length
	maxOptionDataLen = 255
)

// newOption makes an empty option of a type.
func newOption(t uint8) Option {
	switch t {
	case optionRefreshAdvice:
		return new(RefreshAdvice)
	case optionAlternateCareOf:
		return new(AlternateCareOf)
	case optionNonceIndices:
		return new(NonceIndices)
	case optionAuthorizationData:
		return new(AuthorizationData)
	case optionBindingIdentifier:
		return new(BindingIdentifier)
	case optionFlowSummary:
		return new(FlowSummary)
	case optionFlowIdentification:
		return new(FlowIdentification)
	}
	return &UnknownOption{Type: t}
}

// appendOptions appends the options, each aligned, and pads the header to a
// multiple of 8 octets. b starts with the Mobility Header's first octet.
func appendOptions(b []byte, options []Option) ([]byte, error) {
	for i, o := range options {
		if _, ok := o.(*AuthorizationData); ok && i != len(options)-1 {
			return nil, fmt.Errorf("option %d is Binding Authorization Data but not the last", i)
		}
		of, at := o.align()
		b = appendPadding(b, of, at)
		start := len(b)
		b = append(b, o.optionType(), 0)
		var err error
		if b, err = o.marshal(b); err != nil {
			return nil, fmt.Errorf("option %d: %w", i, err)
		}
		n := len(b) - start - optionHeaderLen
		if n > maxOptionDataLen {
			return nil, fmt.Errorf("option %d: %d octets of data, at most %d fit", i, n, maxOptionDataLen)
		}
		b[start+1] = uint8(n)
	}
	return appendPadding(b, unit, 0), nil
}

// appendPadding pads until the next octet's offset is n*of+at (RFC 6275
// §6.2.2, §6.2.3).
func appendPadding(b []byte, of, at int) []byte {
	n := ((at-len(b))%of + of) % of
	switch n {
	case 0:
		return b
	case 1:
		return append(b, optionPad1)
	}
	b = append(b, optionPadN, uint8(n-optionHeaderLen))
	return append(b, make([]byte, n-optionHeaderLen)...)
}

// parseOptions reads the options of header h from offset i on, and tells where
// the last one that is not padding ends.
func parseOptions(h []byte, i int, t Type) (options []Option, end int, err error) {
	end = i
	for i < len(h) {
		if h[i] == optionPad1 {
			i++
			continue
		}
		if i+optionHeaderLen > len(h) {
			return nil, 0, &ParseError{Kind: KindOption, Type: t, Offset: i}
		}
		data := i + optionHeaderLen
		next := data + int(h[i+1])
		if next > len(h) {
			return nil, 0, &ParseError{Kind: KindOption, Type: t, Offset: i + 1}
		}
		if h[i] != optionPadN {
			o := newOption(h[i])
			if !o.unmarshal(h[data:next]) {
				return nil, 0, &ParseError{Kind: KindOption, Type: t, Offset: i + 1}
			}
			options, end = append(options, o), next
		}
		i = next
	}
	return options, end, nil
}

// FindOption is the first option of type T in a message, false if there is
// none: FindOption[*NonceIndices](m).
func FindOption[T Option](m Message) (T, bool) {
	for _, o := range *m.mobilityOptions() {
		if found, ok := o.(T); ok {
			return found, true
		}
	}
	var none T
	return none, false
}

// FindOptions are all options of type T in a message, in their order.
func FindOptions[T Option](m Message) (all []T) {
	for _, o := range *m.mobilityOptions() {
		if found, ok := o.(T); ok {
			all = append(all, found)
		}
	}
	return all
}
