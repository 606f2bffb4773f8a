package mipv6

import "time"

// BindingUpdate tells a home agent or a correspondent where a home address is
// now (RFC 6275 §6.1.7).
type BindingUpdate struct {
	Sequence         uint16
	Acknowledge      bool          // A: a Binding Acknowledgement is wanted
	HomeRegistration bool          // H: the receiver is to be the home agent
	LinkLocal        bool          // L: the home address has the link-local address's interface identifier
	KeyManagement    bool          // K: key management survives movement
	Lifetime         time.Duration // 0 deletes the binding; in units of 4 s on the wire, see Marshal
	Options          []Option
}

// Message Data: Sequence (2), flags (2), Lifetime (2).
const (
	updateFlags    = 2
	updateLifetime = 4
	updateLen      = 6

	flagAcknowledge      = 0x8000
	flagHomeRegistration = 0x4000
	flagLinkLocal        = 0x2000
	flagKeyManagement    = 0x1000
)

// Type implements Message.
func (*BindingUpdate) Type() Type { return TypeBindingUpdate }

func (*BindingUpdate) bodyLen() int                 { return updateLen }
func (m *BindingUpdate) mobilityOptions() *[]Option { return &m.Options }

func (m *BindingUpdate) marshal(b []byte) error {
	units, err := timeUnits(m.Lifetime)
	if err != nil {
		return err
	}
	var flags uint16
	for _, f := range []struct {
		set bool
		bit uint16
	}{
		{m.Acknowledge, flagAcknowledge},
		{m.HomeRegistration, flagHomeRegistration},
		{m.LinkLocal, flagLinkLocal},
		{m.KeyManagement, flagKeyManagement},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	order.PutUint16(b, m.Sequence)
	order.PutUint16(b[updateFlags:], flags)
	order.PutUint16(b[updateLifetime:], units)
	return nil
}

func (m *BindingUpdate) unmarshal(b []byte) {
	flags := order.Uint16(b[updateFlags:])
	m.Sequence = order.Uint16(b)
	m.Acknowledge = flags&flagAcknowledge != 0
	m.HomeRegistration = flags&flagHomeRegistration != 0
	m.LinkLocal = flags&flagLinkLocal != 0
	m.KeyManagement = flags&flagKeyManagement != 0
	m.Lifetime = unitsTime(order.Uint16(b[updateLifetime:]))
}
