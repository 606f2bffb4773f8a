package rr

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6275 §5.2 names SHA-1; HMAC over it is not known to be weak.
	"crypto/subtle"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// Key is a binding management key, Kbm (RFC 6275 §5.2.5).
type Key [kbmLen]byte

// Kbm makes the key that authenticates a Binding Update which creates or
// refreshes a binding: SHA1(home keygen token | care-of keygen token)
// (RFC 6275 §5.2.5).
func Kbm(home, careOf mipv6.KeygenToken) Key {
	var in [2 * len(home)]byte
	copy(in[:], home[:])
	copy(in[len(home):], careOf[:])
	return Key(sha1.Sum(in[:])) //nolint:gosec // see the import
}

// KbmDelete makes the key of a Binding Update that deletes a binding, be it by
// lifetime zero or by a care-of address equal to the home address: SHA1(home
// keygen token); no care-of test is needed (RFC 6275 §5.2.5, §9.5.1).
func KbmDelete(home mipv6.KeygenToken) Key {
	return Key(sha1.Sum(home[:])) //nolint:gosec // see the import
}

// Authenticate computes the Authenticator field of the Binding Authorization
// Data option (RFC 6275 §6.2.7): First(96, HMAC_SHA1(Kbm, care-of address |
// correspondent | MH Data)). careOf is the address that is registered if the
// Binding Update succeeds, or the home address when a binding is deleted; it may
// differ from the packet's source. mhData is the Mobility Header with a zero
// checksum, up to but without the Authenticator. The same holds for the Binding
// Acknowledgement.
func Authenticate(key Key, careOf, correspondent netip.Addr, mhData []byte) mipv6.Authenticator {
	mac := hmac.New(sha1.New, key[:])
	c, n := careOf.As16(), correspondent.As16()
	mac.Write(c[:])
	mac.Write(n[:])
	mac.Write(mhData)
	var a mipv6.Authenticator
	copy(a[:], mac.Sum(nil))
	return a
}

// Authentic reports, in constant time, whether a is what Authenticate gives.
func Authentic(a mipv6.Authenticator, key Key, careOf, correspondent netip.Addr, mhData []byte) bool {
	want := Authenticate(key, careOf, correspondent, mhData)
	return subtle.ConstantTimeCompare(a[:], want[:]) == 1
}

// keygenToken is First(64, HMAC_SHA1(Kcn, address | nonce | kind)), kind being
// one octet: 0 for the home, 1 for the care-of keygen token (RFC 6275 §5.2.5).
func keygenToken(kcn []byte, addr netip.Addr, nonce []byte, kind byte) mipv6.KeygenToken {
	mac := hmac.New(sha1.New, kcn)
	a := addr.As16()
	mac.Write(a[:])
	mac.Write(nonce)
	mac.Write([]byte{kind})
	var t mipv6.KeygenToken
	copy(t[:], mac.Sum(nil))
	return t
}

const (
	homeKind   = 0
	careOfKind = 1
)
