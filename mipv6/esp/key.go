package esp

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

// Key is secret key material. It prints as "(secret)" whatever the verb, and
// has no exported fields that an encoder could find.
type Key struct{ octets []byte }

// NewKey makes a key of a copy of these octets.
func NewKey(b []byte) Key { return Key{bytes.Clone(b)} }

// ParseKey reads a key in hexadecimal. The error does not quote it.
func ParseKey(s string) (Key, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return Key{}, fmt.Errorf("%w: not hexadecimal digits, two for each octet", ErrKey)
	}
	return Key{b}, nil
}

// GenerateKey makes key material for the algorithm out of random.
func GenerateKey(a Algorithm, random io.Reader) (Key, error) {
	b := make([]byte, a.KeyLen())
	if _, err := io.ReadFull(random, b); err != nil {
		return Key{}, fmt.Errorf("esp: key for %s: %w", a, err)
	}
	k := Key{b}
	return k, a.Check(k)
}

// Len is the key's length in octets.
func (k Key) Len() int { return len(k.octets) }

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.octets, o.octets) == 1 }

// Expose is the key itself, to be written where only its owner can read it or to be given to the kernel.
func (k Key) Expose() []byte { return bytes.Clone(k.octets) }

// Format implements fmt.Formatter: a key is never printed.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }
