package mipv6

import (
	"bytes"
	"fmt"
)

// FlowIdentification is the Flow Identification mobility option: a flow binding,
// which sends the packets that a traffic selector matches to a binding of their
// own (RFC 6089 §4.2).
type FlowIdentification struct {
	ID       uint16 // FID; zero is reserved
	Priority uint16 // FID-PRI: of two flow bindings that match a packet, the one with the least counts
	Status   FlowStatus
	Bindings []uint16         // Binding Reference sub-option: BIDs
	Selector *TrafficSelector // Traffic Selector sub-option of format 2 (RFC 6088 §3.2); nil: none
	// Others are sub-options that this package does not know, and traffic selectors
	// of other formats (of type FlowTrafficSelector), kept whole.
	Others []FlowSubOption
	// Malformed is the part with the sub-options, as it came, if it cannot be read:
	// then it is all that is known of them, and FlowMalformed the answer.
	Malformed []byte
}

// FlowSubOption is a sub-option that is not understood.
type FlowSubOption struct {
	Type uint8
	Data []byte
}

// Sub-option types (RFC 6089 §4.2.1).
const (
	flowPad1             = 0
	flowPadN             = 1
	flowBindingReference = 2
	// FlowTrafficSelector is the type of traffic selectors.
	FlowTrafficSelector = 3
)

// Option Data: FID (2), FID-PRI (2), Reserved (1), Status (1), sub-options.
const (
	flowPriority = 2
	flowStatus   = 5
	flowLen      = 6

	// Data of a Traffic Selector sub-option: TS Format (1), Reserved (1).
	selectorHeaderLen = 2
	selectorIPv6      = 2 // TS Format
)

func (*FlowIdentification) optionType() uint8   { return optionFlowIdentification }
func (*FlowIdentification) align() (of, at int) { return 2, 0 }

func (o *FlowIdentification) marshal(b []byte) ([]byte, error) {
	b = order.AppendUint16(order.AppendUint16(b, o.ID), o.Priority)
	b = append(b, 0, uint8(o.Status))
	if o.Malformed != nil {
		return append(b, o.Malformed...), nil
	}
	if len(o.Bindings) > 0 {
		b = appendSubOption(b, flowBindingReference, appendIDs(nil, o.Bindings))
	}
	if o.Selector != nil {
		data, err := o.Selector.append([]byte{selectorIPv6, 0})
		if err != nil {
			return nil, err
		}
		b = appendSubOption(b, FlowTrafficSelector, data)
	}
	for _, s := range o.Others {
		if s.Type < FlowTrafficSelector || s.isSelector() {
			return nil, fmt.Errorf("flow binding %d: sub-option of type %d is not unknown", o.ID, s.Type)
		}
		b = appendSubOption(b, s.Type, s.Data)
	}
	return b, nil // what is too long, appendOptions sees
}

func appendSubOption(b []byte, t uint8, data []byte) []byte {
	return append(append(b, t, uint8(len(data))), data...)
}

// isSelector recognises a traffic selector of the format that is understood.
func (s FlowSubOption) isSelector() bool {
	return s.Type == FlowTrafficSelector && len(s.Data) >= selectorHeaderLen && s.Data[0] == selectorIPv6
}

func (o *FlowIdentification) unmarshal(b []byte) bool {
	if len(b) < flowLen {
		return false
	}
	o.ID, o.Priority, o.Status = order.Uint16(b), order.Uint16(b[flowPriority:]), FlowStatus(b[flowStatus])
	if !o.parse(b[flowLen:]) {
		o.Bindings, o.Selector, o.Others, o.Malformed = nil, nil, nil, bytes.Clone(b[flowLen:])
	}
	return true
}

// parse reads the sub-options; false if they cannot be read.
func (o *FlowIdentification) parse(b []byte) bool {
	for len(b) > 0 {
		t := b[0]
		if t == flowPad1 {
			b = b[1:]
			continue
		}
		if len(b) < optionHeaderLen || len(b) < optionHeaderLen+int(b[1]) {
			return false
		}
		data := b[optionHeaderLen : optionHeaderLen+int(b[1])]
		b = b[optionHeaderLen+len(data):]
		if t != flowPadN && !o.take(FlowSubOption{t, data}) {
			return false
		}
	}
	return true
}

// take takes one sub-option; a second one of a kind that may come once is wrong.
func (o *FlowIdentification) take(s FlowSubOption) bool {
	switch {
	case s.Type == flowBindingReference:
		ids, ok := parseIDs(s.Data)
		if !ok || len(ids) == 0 || o.Bindings != nil {
			return false
		}
		o.Bindings = ids
	case s.isSelector():
		if o.Selector != nil {
			return false
		}
		o.Selector = new(TrafficSelector)
		return o.Selector.parse(s.Data[selectorHeaderLen:])
	case s.Type == FlowTrafficSelector && len(s.Data) < selectorHeaderLen:
		return false
	default:
		o.Others = append(o.Others, FlowSubOption{s.Type, bytes.Clone(s.Data)})
	}
	return true
}
