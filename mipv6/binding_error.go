package mipv6

import (
	"fmt"
	"net/netip"
)

// BindingError tells of a packet that could not be processed (RFC 6275 §6.1.9).
type BindingError struct {
	Status  BindingErrorStatus
	Home    netip.Addr // from the Home Address option; unspecified if there was none
	Options []Option
}

// Message Data: Status (1), Reserved (1), Home Address (16).
const (
	errorHome = 2
	errorLen  = errorHome + 16
)

// Type implements Message.
func (*BindingError) Type() Type { return TypeBindingError }

func (*BindingError) bodyLen() int                 { return errorLen }
func (m *BindingError) mobilityOptions() *[]Option { return &m.Options }

func (m *BindingError) marshal(b []byte) error {
	b[0] = uint8(m.Status)
	return putAddr(b[errorHome:], m.Home, "home address")
}

func (m *BindingError) unmarshal(b []byte) {
	m.Status = BindingErrorStatus(b[0])
	m.Home = netip.AddrFrom16([16]byte(b[errorHome:]))
}

// putAddr writes an IPv6 address, an error if it is not one.
func putAddr(b []byte, a netip.Addr, what string) error {
	if !a.Is6() {
		return fmt.Errorf("%s %v is not an IPv6 address", what, a)
	}
	a16 := a.As16()
	copy(b, a16[:])
	return nil
}
