package esp

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Sender is the sending end of a security association. It is not safe for
// concurrent use.
type Sender struct {
	spi    uint32
	cipher *Cipher
	last   uint32
	random io.Reader
	// boot stands in the initialisation vectors of AES-GCM before the sequence
	// number. The numbers alone make them unique for as long as the caller
	// remembers them over restarts; where that memory is lost, this makes a
	// repetition unlikely.
	boot [4]byte
}

// NewSender makes the sending end. last is the last sequence number that was
// used with this key, in another life of the process too: with manual keys none
// may ever come twice (RFC 4106 §3.1). random is crypto/rand.Reader if nil.
func NewSender(spi uint32, c *Cipher, last uint32, random io.Reader) (*Sender, error) {
	if random == nil {
		random = rand.Reader
	}
	s := &Sender{spi: spi, cipher: c, last: last, random: random}
	if _, err := io.ReadFull(random, s.boot[:]); err != nil {
		return nil, fmt.Errorf("esp: random number: %w", err)
	}
	return s, CheckSPI(spi)
}

// Last is the sequence number of the last packet, zero before the first.
func (s *Sender) Last() uint32 { return s.last }

// Seal makes the next packet; ErrExhausted after the last number.
func (s *Sender) Seal(next uint8, payload []byte) ([]byte, error) {
	if s.last == math.MaxUint32 {
		return nil, fmt.Errorf("esp: SPI %#x: %w", s.spi, ErrExhausted)
	}
	iv := make([]byte, s.cipher.IVLen())
	if len(iv) == gcmIVLen {
		copy(iv, s.boot[:])
		binary.BigEndian.PutUint32(iv[len(s.boot):], s.last+1)
	} else if _, err := io.ReadFull(s.random, iv); err != nil {
		return nil, fmt.Errorf("esp: random number: %w", err)
	}
	b, err := s.cipher.Seal(Header{s.spi, s.last + 1}, iv, next, payload)
	if err != nil {
		return nil, err
	}
	s.last++
	return b, nil
}

// Receiver is the receiving end of a security association. It is not safe for
// concurrent use.
type Receiver struct {
	cipher *Cipher
	window window
}

// NewReceiver makes the receiving end; what has a sequence number up to last was
// received in another life of the process and is refused.
func NewReceiver(c *Cipher, last uint32) *Receiver {
	r := &Receiver{cipher: c, window: window{last: last}}
	for i := range r.window.bits {
		r.window.bits[i] = math.MaxUint64
	}
	return r
}

// Last is the highest sequence number that was received, zero for none.
func (r *Receiver) Last() uint32 { return r.window.last }

// Open reads a packet, whose SPI the caller has found this Receiver by. Errors
// are ErrMalformed, ErrReplay and ErrAuthentication. A packet that fails changes
// nothing (RFC 4303 §3.4.3).
func (r *Receiver) Open(packet []byte) (next uint8, payload []byte, err error) {
	h, err := ParseHeader(packet)
	if err != nil {
		return 0, nil, err
	}
	if !r.window.fresh(h.Sequence) {
		return 0, nil, fmt.Errorf("esp: SPI %#x: %w: sequence number %d, newest %d", h.SPI, ErrReplay, h.Sequence, r.window.last)
	}
	if next, payload, err = r.cipher.Open(packet); err != nil {
		return 0, nil, fmt.Errorf("SPI %#x: %w", h.SPI, err)
	}
	r.window.accept(h.Sequence)
	return next, payload, nil
}
