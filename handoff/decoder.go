package handoff

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// decoder reads fields in network byte order. After the first that is not there
// all are zero, and end tells.
type decoder struct {
	b   []byte
	err error
}

// bytes takes n bytes; its capacity ends with them.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b) {
		d.err = fmt.Errorf("field of %d bytes where %d are left", n, len(d.b))
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u16() uint16 {
	if v := d.bytes(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if v := d.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if v := d.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) addrPort() netip.AddrPort {
	v := d.bytes(18)
	if v == nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(v)), binary.BigEndian.Uint16(v[16:]))
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	addr := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(b, addr[:]...), a.Port())
}

// header takes the version, the mode, and the reserved bytes, which are 0.
func (d *decoder) header() Mode {
	v := d.bytes(4)
	switch {
	case v == nil:
		return 0
	case v[0] != messageVersion:
		d.err = fmt.Errorf("%w: %d, want %d", errVersion, v[0], messageVersion)
	case v[2] != 0 || v[3] != 0:
		d.err = fmt.Errorf("reserved bytes % x", v[2:])
	}
	return Mode(v[1])
}

// end tells whether all fields were there and nothing else.
func (d *decoder) end(what string) error {
	switch {
	case d.err != nil:
		return fmt.Errorf("%w: %s: %w", ErrMalformed, what, d.err)
	case len(d.b) > 0:
		return fmt.Errorf("%w: %s: %d bytes too many", ErrMalformed, what, len(d.b))
	}
	return nil
}
