package mipv6

import (
	"errors"
	"fmt"
	"net/netip"
)

var errAlreadyAuthenticated = errors.New("the message has a Binding Authorization Data option already")

// MarshalAuthenticated is [Marshal] with a Binding Authorization Data option
// appended as the last. mac computes its authenticator over mhData: the
// Mobility Header with a checksum of zero, up to but not including the
// Authenticator field (RFC 6275 §6.2.7). Mobility Data's two addresses are
// mac's business. The message itself is not changed.
func MarshalAuthenticated(m Message, src, dst netip.Addr, mac func(mhData []byte) Authenticator) ([]byte, error) {
	if _, has := FindOption[*AuthorizationData](m); has {
		return nil, fmt.Errorf("mipv6: marshal %v: %w", m.Type(), errAlreadyAuthenticated)
	}
	own := *m.mobilityOptions()
	options := append(own[:len(own):len(own)], &AuthorizationData{})
	b, err := marshal(m, options)
	if err != nil {
		return nil, err
	}
	cut := len(b) - len(Authenticator{})
	a := mac(b[:cut:cut])
	copy(b[cut:], a[:])
	if err := putChecksum(b, src, dst); err != nil {
		return nil, fmt.Errorf("mipv6: marshal %v: %w", m.Type(), err)
	}
	return b, nil
}

// AuthenticatorInput takes a received Mobility Header apart for verification:
// mhData, a copy to compute the authenticator over (checksum zero, up to the
// Authenticator field), and the authenticator that the message has. The
// error is a [*ParseError], of kind [KindAuthorization] if the last option is
// not Binding Authorization Data (RFC 6275 §6.2.7). Compare authenticators in
// constant time.
func AuthenticatorInput(b []byte) (mhData []byte, a Authenticator, err error) {
	h, err := extent(b)
	if err != nil {
		return nil, a, err
	}
	m, end, err := parse(h)
	if err != nil {
		return nil, a, err
	}
	// Nothing may follow it, padding neither: its data are the header's last octets.
	options := *m.mobilityOptions()
	if len(options) > 0 && end == len(h) {
		if last, ok := options[len(options)-1].(*AuthorizationData); ok {
			mhData = append([]byte(nil), h[:len(h)-len(a)]...)
			clear(mhData[offsetChecksum:headerLen])
			return mhData, last.Authenticator, nil
		}
	}
	return nil, a, &ParseError{Kind: KindAuthorization, Type: m.Type(), Offset: end}
}
