package mipv6

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

// update is a Binding Update with one option of that type and data.
func update(t *testing.T, kind uint8, fields ...string) []byte {
	t.Helper()
	data := wire(t, fields...)
	b := append([]byte{ProtocolNone, 0, uint8(TypeBindingUpdate), 0, 0, 0, 0, 1, 0, 0, 0, 1, kind, uint8(len(data))}, data...)
	b = appendPadding(b, unit, 0)
	b[offsetHeaderLen] = uint8(len(b)/unit - 1)
	return b
}

// Lengths that no Binding Identifier and no Flow Summary has are a malformed
// option; the whole message is dropped (RFC 6275 §9.2).
func TestFlowOptionLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"binding identifier without status":      update(t, optionBindingIdentifier, "0102"),
		"half an address":                        update(t, optionBindingIdentifier, "0102 00 00 20010db800010000"),
		"one octet more than an address":         update(t, optionBindingIdentifier, "0102 00 00 20010db8000100000000000000000010 00"),
		"half a flow identifier in a summary":    update(t, optionFlowSummary, "0001 00"),
		"flow identification that ends too soon": update(t, optionFlowIdentification, "0001 0002 00"),
	} {
		if m, err := Parse(b); !errors.Is(err, KindOption) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	m, err := Parse(update(t, optionBindingIdentifier, "0102 00 00 c0000201"))
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := FindOption[*BindingIdentifier](m); o == nil || o.CareOf != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("IPv4 care-of address: %+v", o)
	}
}

// A flow binding whose sub-options cannot be read is kept, so that it can be
// answered with status 130 (RFC 6089 §5.3).
func TestMalformedFlow(t *testing.T) {
	for name, sub := range map[string]string{
		"sub-option that runs over the end":   "02 04 0001",
		"sub-option without a length":         "02",
		"half a binding identifier":           "02 03 0001 00",
		"no binding identifier":               "02 00",
		"two binding references":              "02 02 0001 02 02 0002",
		"selector without a format":           "03 01 02",
		"selector without flags":              "03 04 02 00 0000",
		"selector that ends too soon":         "03 08 02 00 00800000 9c 40 03 00", // and an empty one behind
		"selector with an end but no start":   "03 08 02 00 00400000 9c40",
		"selector with octets to spare":       "03 0a 02 00 00800000 9c40 0000",
		"selector with flags of no meaning":   "03 06 02 00 00000001",
		"two selectors":                       "03 06 02 00 00000000 03 06 02 00 00000000",
		"selector that lacks a whole address": "03 06 02 00 80000000",
	} {
		b := update(t, optionFlowIdentification, "0506 0708 00 00", sub)
		m, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o, _ := FindOption[*FlowIdentification](m)
		if o.ID != 0x0506 || o.Malformed == nil || o.Bindings != nil || o.Selector != nil || !bytes.Equal(o.Malformed, wire(t, sub)) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// Padding between sub-options goes, what is not known stays, a selector of another
// format too.
func TestFlowSubOptions(t *testing.T) {
	m, err := Parse(update(t, optionFlowIdentification, "0506 0708 00 00", "00 01 02 0000 c8 01 07 02 02 0001 03 03 01 00 aa"))
	if err != nil {
		t.Fatal(err)
	}
	o, _ := FindOption[*FlowIdentification](m)
	if len(o.Bindings) != 1 || o.Malformed != nil || o.Selector != nil || len(o.Others) != 2 ||
		o.Others[0].Type != 0xc8 || o.Others[1].Type != FlowTrafficSelector {
		t.Errorf("%+v", o)
	}
}

// What the format cannot say is an error, not something else on the wire.
func TestFlowMarshalErrors(t *testing.T) {
	v4 := netip.MustParseAddr("192.0.2.1")
	for name, o := range map[string]Option{
		"priority of a binding":       &BindingIdentifier{ID: 1, Priority: 128},
		"summary":                     &FlowSummary{make([]uint16, MaxFlowSummary+1)},
		"IPv4 source":                 &FlowIdentification{Selector: &TrafficSelector{Source: Only(v4)}},
		"no source":                   &FlowIdentification{Selector: &TrafficSelector{Source: Range[netip.Addr]{Kind: One}}},
		"kind of range":               &FlowIdentification{Selector: &TrafficSelector{SPI: Range[uint32]{Kind: 3}}},
		"known type among others":     &FlowIdentification{Others: []FlowSubOption{{Type: flowBindingReference}}},
		"known selector among others": &FlowIdentification{Others: []FlowSubOption{{FlowTrafficSelector, []byte{selectorIPv6, 0}}}},
		"too long":                    &FlowIdentification{Bindings: make([]uint16, 140)},
		"known option as unknown":     &UnknownOption{Type: optionFlowSummary},
	} {
		if b, err := Marshal(&BindingUpdate{Options: []Option{o}}, home, correspondent); err == nil {
			t.Errorf("%s: %x", name, b)
		}
	}
}
