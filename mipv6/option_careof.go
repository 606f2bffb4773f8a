package mipv6

import "net/netip"

// AlternateCareOf is the Alternate Care-of Address option: the care-of
// address that a Binding Update registers in place of the packet's source
// (RFC 6275 §6.2.5).
type AlternateCareOf struct {
	Addr netip.Addr
}

const alternateCareOfLen = 16

func (*AlternateCareOf) optionType() uint8   { return optionAlternateCareOf }
func (*AlternateCareOf) align() (of, at int) { return 8, 6 }

func (o *AlternateCareOf) marshal(b []byte) ([]byte, error) {
	var a [alternateCareOfLen]byte
	err := putAddr(a[:], o.Addr, "alternate care-of address")
	return append(b, a[:]...), err
}

func (o *AlternateCareOf) unmarshal(b []byte) bool {
	if len(b) != alternateCareOfLen {
		return false
	}
	o.Addr = netip.AddrFrom16([alternateCareOfLen]byte(b))
	return true
}
