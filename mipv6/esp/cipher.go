package esp

import (
	"encoding/binary"
	"fmt"
)

// Lengths in octets (RFC 4303 §2).
const (
	headerLen  = 8 // SPI and sequence number
	trailerLen = 2 // pad length and next header
	icvLen     = 16
	minAlign   = 4 // the trailer ends at a multiple of this (§2.4)

	// maxPayload keeps a sealed packet, with whatever stands before it, within
	// what an IPv6 header can say.
	maxPayload = 0xffff - 512
)

// minSPI is the first that may be used: 1 to 255 are reserved (RFC 4303 §2.1).
const minSPI = 256

// CheckSPI reports an SPI that no security association can have.
func CheckSPI(spi uint32) error {
	if spi < minSPI {
		return fmt.Errorf("%w: SPI %#x: below %#x they are reserved (RFC 4303 §2.1)", ErrKey, spi, minSPI)
	}
	return nil
}

// Header is what a packet says in clear.
type Header struct {
	SPI      uint32
	Sequence uint32
}

// ParseHeader reads the first octets of an ESP packet.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < headerLen {
		return Header{}, fmt.Errorf("esp: %w: %d octets", ErrMalformed, len(b))
	}
	return Header{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}, nil
}

// transform is an algorithm with its key. Both work in place: b is a whole packet,
// from the SPI to the end of the integrity check value; the octets from
// headerLen to headerLen+ivLen are the initialisation vector.
type transform interface {
	ivLen() int
	align() int // that of the encrypted part
	seal(b []byte)
	open(b []byte) bool
}

// Cipher seals and opens packets with one key. It is safe for concurrent use.
type Cipher struct{ t transform }

// NewCipher makes a Cipher. The error is ErrKey.
func NewCipher(a Algorithm, k Key) (*Cipher, error) {
	if err := a.Check(k); err != nil {
		return nil, fmt.Errorf("esp: %w", err)
	}
	n := k.Len() - a.second()
	var t transform
	var err error
	if a == AESGCM {
		t, err = newGCM(k.octets[:n], k.octets[n:])
	} else {
		t, err = newCBC(k.octets[:n], k.octets[n:])
	}
	if err != nil {
		return nil, fmt.Errorf("esp: %s: %w", a, err)
	}
	return &Cipher{t}, nil
}

// IVLen is the length of an initialisation vector: 8 octets for AES-GCM, which
// must never come twice with one key; 16 for AES-CBC, which nobody must foresee.
func (c *Cipher) IVLen() int { return c.t.ivLen() }

// Seal makes a packet. next is the protocol of the payload: 41 in tunnel mode.
func (c *Cipher) Seal(h Header, iv []byte, next uint8, payload []byte) ([]byte, error) {
	if len(iv) != c.t.ivLen() {
		return nil, fmt.Errorf("esp: initialisation vector of %d octets, not %d", len(iv), c.t.ivLen())
	}
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("esp: payload of %d octets, at most %d fit", len(payload), maxPayload)
	}
	clear := headerLen + len(iv)
	align := max(c.t.align(), minAlign)
	pad := (align - (len(payload)+trailerLen)%align) % align
	b := make([]byte, clear+len(payload)+pad+trailerLen+icvLen)
	binary.BigEndian.PutUint32(b, h.SPI)
	binary.BigEndian.PutUint32(b[4:], h.Sequence)
	copy(b[headerLen:], iv)
	i := clear + copy(b[clear:], payload)
	for n := range pad {
		b[i+n] = byte(n + 1) // §2.4: 1, 2, 3, …
	}
	i += pad
	b[i], b[i+1] = byte(pad), next
	c.t.seal(b)
	return b, nil
}

// Open reads a packet. The payload is a copy; the packet is left as it is.
// Errors are ErrMalformed and ErrAuthentication; nothing of the encrypted part is
// looked at before the integrity check.
func (c *Cipher) Open(packet []byte) (next uint8, payload []byte, err error) {
	clear := headerLen + c.t.ivLen()
	n := len(packet) - clear - icvLen
	align := max(c.t.align(), minAlign)
	if n < trailerLen || n%align != 0 {
		return 0, nil, fmt.Errorf("esp: %w: %d octets", ErrMalformed, len(packet))
	}
	b := append([]byte(nil), packet...)
	if !c.t.open(b) {
		return 0, nil, fmt.Errorf("esp: %w", ErrAuthentication)
	}
	inner := b[clear : clear+n]
	pad, next := int(inner[n-2]), inner[n-1]
	end := n - trailerLen - pad
	if end < 0 {
		return 0, nil, fmt.Errorf("esp: %w: padding of %d octets in %d", ErrMalformed, pad, n)
	}
	for i, p := range inner[end : n-trailerLen] {
		if int(p) != i+1 { // §2.4: the receiver should look
			return 0, nil, fmt.Errorf("esp: %w: padding is not 1, 2, 3, …", ErrMalformed)
		}
	}
	return next, inner[:end:end], nil
}
