package mipv6

import "fmt"

// FlowSummary is the Flow Summary mobility option: flow bindings that are to stay
// as they are (RFC 6089 §4.3).
type FlowSummary struct {
	IDs []uint16 // FIDs, at most MaxFlowSummary
}

// MaxFlowSummary is how many flow identifiers fit in a FlowSummary.
const MaxFlowSummary = maxOptionDataLen / 2

func (*FlowSummary) optionType() uint8   { return optionFlowSummary }
func (*FlowSummary) align() (of, at int) { return 2, 0 }

func (o *FlowSummary) marshal(b []byte) ([]byte, error) {
	if len(o.IDs) > MaxFlowSummary {
		return nil, fmt.Errorf("%d flow identifiers, at most %d fit", len(o.IDs), MaxFlowSummary)
	}
	return appendIDs(b, o.IDs), nil
}

func (o *FlowSummary) unmarshal(b []byte) (ok bool) {
	o.IDs, ok = parseIDs(b)
	return ok
}

// appendIDs and parseIDs code lists of identifiers.
func appendIDs(b []byte, ids []uint16) []byte {
	for _, id := range ids {
		b = order.AppendUint16(b, id)
	}
	return b
}

func parseIDs(b []byte) (ids []uint16, ok bool) {
	if len(b)%2 != 0 {
		return nil, false
	}
	for ; len(b) > 0; b = b[2:] {
		ids = append(ids, order.Uint16(b))
	}
	return ids, true
}
