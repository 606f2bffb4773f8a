package esp

import (
	"fmt"
	"slices"
	"strings"
)

// Algorithm is how a security association encrypts and authenticates.
type Algorithm string

const (
	// AESGCM is AES-GCM with an integrity check value of 16 octets (RFC 4106).
	// Its key material is an AES key of 16, 24 or 32 octets and 4 octets of salt.
	AESGCM Algorithm = "aes-gcm"
	// AESCBCHMACSHA256 is AES-CBC (RFC 3602) with HMAC-SHA-256-128 (RFC 4868).
	// Its key material is an AES key of 16, 24 or 32 octets and 32 octets for HMAC.
	AESCBCHMACSHA256 Algorithm = "aes-cbc-hmac-sha256"
)

// Algorithms are all that there are, the recommended one first.
func Algorithms() []Algorithm { return []Algorithm{AESGCM, AESCBCHMACSHA256} }

// Lengths of key material in octets.
const (
	saltLen    = 4  // RFC 4106 §8.1
	hmacKeyLen = 32 // RFC 4868 §2.1.1: that of the hash
	defaultAES = 32
)

var aesLens = []int{16, 24, 32}

// second is what stands behind the AES key in the key material; zero for an
// unknown algorithm.
func (a Algorithm) second() int {
	switch a {
	case AESGCM:
		return saltLen
	case AESCBCHMACSHA256:
		return hmacKeyLen
	}
	return 0
}

// KeyLen is how many octets of key material are made for the algorithm: an AES
// key of 256 bits and what goes with it. Zero for an unknown algorithm.
func (a Algorithm) KeyLen() int {
	if a.second() == 0 {
		return 0
	}
	return defaultAES + a.second()
}

// Check reports why the key material is not one for the algorithm, as ErrKey.
// The error says nothing of the key but its length.
func (a Algorithm) Check(k Key) error {
	second := a.second()
	if second == 0 {
		var known []string
		for _, a := range Algorithms() {
			known = append(known, string(a))
		}
		return fmt.Errorf("%w: algorithm %q is unknown; one of: %s", ErrKey, a, strings.Join(known, ", "))
	}
	if !slices.Contains(aesLens, k.Len()-second) {
		return fmt.Errorf("%w: %s takes %d, %d or %d octets, not %d", ErrKey, a,
			aesLens[0]+second, aesLens[1]+second, aesLens[2]+second, k.Len())
	}
	return nil
}
