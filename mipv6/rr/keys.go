package rr

import (
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// CareOfToken is a care-of keygen token and the moment it came. Unlike a home
// token it is of use to one care-of address only.
type CareOfToken struct {
	Token      mipv6.KeygenToken
	NonceIndex uint16
	Received   time.Time
}

// Fresh is as HomeToken.Fresh.
func (t CareOfToken) Fresh(now time.Time) bool { return fresh(t.Received, now) }

// Keys is what a mobile node has of a correspondent: one or both keygen tokens.
type Keys struct {
	Home   HomeToken
	CareOf CareOfToken
}

// Kbm is the key of an update that binds (RFC 6275 §5.2.5).
func (k Keys) Kbm() Key { return Kbm(k.Home.Token, k.CareOf.Token) }

// KbmDelete is the key of an update that deletes; the home token suffices.
func (k Keys) KbmDelete() Key { return KbmDelete(k.Home.Token) }

// NonceIndices is the option that names the tokens' nonces (RFC 6275 §6.2.6).
func (k Keys) NonceIndices() *mipv6.NonceIndices {
	return &mipv6.NonceIndices{Home: k.Home.NonceIndex, CareOf: k.CareOf.NonceIndex}
}
