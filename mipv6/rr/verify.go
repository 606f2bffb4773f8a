package rr

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Errors of Responder.Verify. After any of these the Binding Update is dropped
// in silence (RFC 6275 §9.5.1); an expired nonce is a *NonceError instead.
var (
	ErrNoNonceIndices   = errors.New("rr: binding update without nonce indices")
	ErrNotAuthenticated = errors.New("rr: binding update is not authentic")
	ErrHomeRegistration = errors.New("rr: return routability does not authorise home registrations")
)

// NonceError says that a nonce index is no longer recognised. It is answered
// with a Binding Acknowledgement of this status, without a Binding Authorization
// Data option since there is no key (RFC 6275 §9.5.1, §9.5.4).
type NonceError struct {
	Status mipv6.Status // StatusExpiredHomeNonce, StatusExpiredCareOfNonce or StatusExpiredNonces
}

func (e *NonceError) Error() string { return fmt.Sprintf("rr: %v", e.Status) }

// Update is a received Binding Update with the addresses of its packet.
type Update struct {
	Message       *mipv6.BindingUpdate
	Raw           []byte     // the Mobility Header as received
	Home          netip.Addr // of the Home Address option, or the source where there is none
	Source        netip.Addr // of the IPv6 header: the care-of address unless an option says otherwise
	Correspondent netip.Addr // the destination: this node
}

// CareOf is the care-of address that the update names: that of the Alternate
// Care-of Address option, else the packet's source (RFC 6275 §9.5.1).
func (u Update) CareOf() netip.Addr {
	if alt, ok := mipv6.FindOption[*mipv6.AlternateCareOf](u.Message); ok {
		return alt.Addr
	}
	return u.Source
}

// Deletes reports whether the update asks to delete the binding: by lifetime
// zero, or by a care-of address equal to the home address (RFC 6275 §9.5.1).
func (u Update) Deletes() bool {
	return u.Message.Lifetime == 0 || u.CareOf() == u.Home
}

// Authority is what a verified Binding Update leaves for its acknowledgement:
// the key, and the addresses that the authenticator covers.
type Authority struct {
	Key           Key
	CareOf        netip.Addr // as in the authenticator: the home address for most deletions
	Correspondent netip.Addr
}

// Authenticate computes the authenticator of the Binding Acknowledgement; it
// fits mipv6.MarshalAuthenticated.
func (a Authority) Authenticate(mhData []byte) mipv6.Authenticator {
	return Authenticate(a.Key, a.CareOf, a.Correspondent, mhData)
}

// Verify checks that a Binding Update is authorised by return routability
// (RFC 6275 §9.5.1): nonce indices known, and the authenticator right for the
// tokens made of them. Of an update that deletes, the care-of nonce index is not
// looked at and the key is made of the home keygen token alone.
//
// For an update that deletes, §6.2.7 has the authenticator cover the home
// address; mobile nodes that put their care-of address there (UMIP) are
// understood as well, for the key proves the same.
//
// Errors: *NonceError, ErrNoNonceIndices, ErrNotAuthenticated,
// ErrHomeRegistration. Sequence number, lifetime and room are the binding
// cache's business.
func (r *Responder) Verify(now time.Time, u Update) (Authority, error) {
	if u.Message.HomeRegistration {
		return Authority{}, ErrHomeRegistration
	}
	ni, ok := mipv6.FindOption[*mipv6.NonceIndices](u.Message)
	if !ok {
		return Authority{}, ErrNoNonceIndices
	}
	deletes, careOf := u.Deletes(), u.CareOf()
	key, err := r.key(now, ni, u.Home, careOf, deletes)
	if err != nil {
		return Authority{}, err
	}
	data, sent, err := mipv6.AuthenticatorInput(u.Raw)
	if err != nil {
		return Authority{}, fmt.Errorf("%w: %w", ErrNotAuthenticated, err)
	}
	covered := []netip.Addr{careOf}
	if deletes && careOf != u.Home {
		covered = []netip.Addr{u.Home, careOf}
	}
	for _, addr := range covered {
		if Authentic(sent, key, addr, u.Correspondent, data) {
			return Authority{Key: key, CareOf: addr, Correspondent: u.Correspondent}, nil
		}
	}
	return Authority{}, ErrNotAuthenticated
}

// key makes the tokens again and of them the key (RFC 6275 §5.2.5).
func (r *Responder) key(now time.Time, ni *mipv6.NonceIndices, home, careOf netip.Addr, deletes bool) (Key, error) {
	hn, homeOK := r.nonces.find(now, ni.Home)
	if deletes {
		if !homeOK {
			return Key{}, &NonceError{mipv6.StatusExpiredHomeNonce}
		}
		return KbmDelete(keygenToken(r.kcn[:], home, hn.value[:], homeKind)), nil
	}
	cn, careOfOK := r.nonces.find(now, ni.CareOf)
	switch {
	case !homeOK && !careOfOK:
		return Key{}, &NonceError{mipv6.StatusExpiredNonces}
	case !homeOK:
		return Key{}, &NonceError{mipv6.StatusExpiredHomeNonce}
	case !careOfOK:
		return Key{}, &NonceError{mipv6.StatusExpiredCareOfNonce}
	}
	return Kbm(keygenToken(r.kcn[:], home, hn.value[:], homeKind),
		keygenToken(r.kcn[:], careOf, cn.value[:], careOfKind)), nil
}
