package rr

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// HomeToken is a home keygen token and the moment it came. It is a secret: who
// has it, and can receive at some care-of address, can bind the client to that
// address.
type HomeToken struct {
	Token      mipv6.KeygenToken
	NonceIndex uint16
	Received   time.Time
}

// Fresh reports whether the token can still be used: it is younger than
// MAX_TOKEN_LIFETIME (RFC 6275 §5.2.7), with TokenMargin to spare.
func (t HomeToken) Fresh(now time.Time) bool {
	return fresh(t.Received, now)
}

func fresh(received, now time.Time) bool {
	age := now.Sub(received)
	return !received.IsZero() && age >= 0 && age < mipv6.MaxTokenLifetime-TokenMargin
}

// Aged is the token as it travels between hosts, whose clocks differ: with its
// age instead of its moment.
func (t HomeToken) Aged(now time.Time) AgedHomeToken {
	return AgedHomeToken{Token: t.Token, NonceIndex: t.NonceIndex, Age: max(0, now.Sub(t.Received))}
}

// String tells the token's index; the token itself stays out of logs.
func (t HomeToken) String() string { return fmt.Sprintf("home token of nonce %d", t.NonceIndex) }

// AgedHomeToken is a HomeToken on its way to another host.
type AgedHomeToken struct {
	Token      mipv6.KeygenToken
	NonceIndex uint16
	Age        time.Duration // kept in milliseconds, rounded up
}

// AgedHomeTokenLen is the length in octets of an encoded AgedHomeToken: token,
// nonce index, age in milliseconds; all in network byte order.
const AgedHomeTokenLen = 8 + 2 + 4

// maxAge is more than any token that is worth sending has.
const maxAge = mipv6.MaxNonceLifetime

// At is the token at a host that got it now.
func (a AgedHomeToken) At(now time.Time) HomeToken {
	return HomeToken{Token: a.Token, NonceIndex: a.NonceIndex, Received: now.Add(-a.Age)}
}

// AppendBinary appends the encoding of AgedHomeTokenLen octets. An age beyond
// MAX_NONCE_LIFETIME is an error: no correspondent takes such a token any more.
func (a AgedHomeToken) AppendBinary(b []byte) ([]byte, error) {
	if a.Age < 0 || a.Age > maxAge {
		return nil, fmt.Errorf("rr: encode home token: age %v is not within 0 and %v", a.Age, maxAge)
	}
	b = append(b, a.Token[:]...)
	b = binary.BigEndian.AppendUint16(b, a.NonceIndex)
	ms := (a.Age + time.Millisecond - 1) / time.Millisecond
	return binary.BigEndian.AppendUint32(b, uint32(ms)), nil
}

// MarshalBinary is AppendBinary to nothing.
func (a AgedHomeToken) MarshalBinary() ([]byte, error) { return a.AppendBinary(nil) }

// UnmarshalBinary decodes exactly one encoded token.
func (a *AgedHomeToken) UnmarshalBinary(b []byte) error {
	if len(b) != AgedHomeTokenLen {
		return fmt.Errorf("rr: decode home token: %d octets, want %d", len(b), AgedHomeTokenLen)
	}
	age := time.Duration(binary.BigEndian.Uint32(b[10:])) * time.Millisecond
	if age > maxAge {
		return fmt.Errorf("rr: decode home token: age %v is beyond %v", age, maxAge)
	}
	*a = AgedHomeToken{Token: mipv6.KeygenToken(b[:8]), NonceIndex: binary.BigEndian.Uint16(b[8:]), Age: age}
	return nil
}
