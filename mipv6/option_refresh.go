package mipv6

import "time"

// RefreshAdvice is the Binding Refresh Advice option: the home agent's advice
// when to send the next update (RFC 6275 §6.2.4).
type RefreshAdvice struct {
	Interval time.Duration // in units of 4 s on the wire, see Marshal
}

const refreshAdviceLen = 2

func (*RefreshAdvice) optionType() uint8   { return optionRefreshAdvice }
func (*RefreshAdvice) align() (of, at int) { return 2, 0 }

func (o *RefreshAdvice) marshal(b []byte) ([]byte, error) {
	units, err := timeUnits(o.Interval)
	return order.AppendUint16(b, units), err
}

func (o *RefreshAdvice) unmarshal(b []byte) bool {
	if len(b) != refreshAdviceLen {
		return false
	}
	o.Interval = unitsTime(order.Uint16(b))
	return true
}
