package keyfile

import (
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// A delivery between replicas is: version (1) | contact address 128 | care-of
// address 128 | home agent 128 | the generation, as a key file.
const (
	deliveryVersion = 1
	deliveryHead    = 1 + 3*16
)

// MarshalDelivery encodes new keys for the replica that they are for. Secret.
func MarshalDelivery(d ipsec.Delivery) []byte {
	b := []byte{deliveryVersion}
	for _, a := range []netip.Addr{d.Pair.Home, d.Pair.CareOf, d.Pair.HomeAgent} {
		raw := a.As16()
		b = append(b, raw[:]...)
	}
	return append(b, Format([]ipsec.Generation{d.Generation})...)
}

// ParseDelivery decodes them. Errors wrap ErrFormat or ipsec.ErrGeneration, and
// quote no key.
func ParseDelivery(b []byte) (ipsec.Delivery, error) {
	if len(b) < deliveryHead || len(b) > maxFile || b[0] != deliveryVersion {
		return ipsec.Delivery{}, fmt.Errorf("delivery of keys: %w: %d bytes", ErrFormat, len(b))
	}
	at := func(i int) netip.Addr { return netip.AddrFrom16([16]byte(b[1+16*i:])) }
	return NewDelivery(ipsec.Pair{Home: at(0), CareOf: at(1), HomeAgent: at(2)}, b[deliveryHead:])
}

// NewDelivery makes a delivery of a key file's text, which has one generation.
func NewDelivery(p ipsec.Pair, text []byte) (ipsec.Delivery, error) {
	if err := p.Check(); err != nil {
		return ipsec.Delivery{}, fmt.Errorf("delivery of keys: %w: %w", ErrFormat, err)
	}
	generations, err := Parse(text)
	if err == nil && len(generations) != 1 {
		err = fmt.Errorf("%w: %d generations, not one", ErrFormat, len(generations))
	}
	if err != nil {
		return ipsec.Delivery{}, fmt.Errorf("delivery of keys for %v: %w", p, err)
	}
	return ipsec.Delivery{Pair: p, Generation: generations[0]}, nil
}
