package mipv6

import "time"

// BindingAcknowledgement answers a Binding Update (RFC 6275 §6.1.8).
type BindingAcknowledgement struct {
	Status        Status
	KeyManagement bool          // K: the home agent's key management survives movement
	Sequence      uint16        // of the update; the last accepted one with StatusSequenceOutOfWindow
	Lifetime      time.Duration // granted; in units of 4 s on the wire, see Marshal
	Options       []Option
}

// Message Data: Status (1), K and reserved (1), Sequence (2), Lifetime (2).
const (
	ackFlags    = 1
	ackSequence = 2
	ackLifetime = 4
	ackLen      = 6

	ackKeyManagement = 0x80
)

// Type implements Message.
func (*BindingAcknowledgement) Type() Type { return TypeBindingAcknowledgement }

func (*BindingAcknowledgement) bodyLen() int                 { return ackLen }
func (m *BindingAcknowledgement) mobilityOptions() *[]Option { return &m.Options }

func (m *BindingAcknowledgement) marshal(b []byte) error {
	units, err := timeUnits(m.Lifetime)
	if err != nil {
		return err
	}
	b[0] = uint8(m.Status)
	if m.KeyManagement {
		b[ackFlags] = ackKeyManagement
	}
	order.PutUint16(b[ackSequence:], m.Sequence)
	order.PutUint16(b[ackLifetime:], units)
	return nil
}

func (m *BindingAcknowledgement) unmarshal(b []byte) {
	m.Status = Status(b[0])
	m.KeyManagement = b[ackFlags]&ackKeyManagement != 0
	m.Sequence = order.Uint16(b[ackSequence:])
	m.Lifetime = unitsTime(order.Uint16(b[ackLifetime:]))
}
