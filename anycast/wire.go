package anycast

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/rr"
)

// What replicas say to each other in calls of kind peer.KindHomeTest and
// peer.KindRefresh. Requests of both: version (1), contact address (16), client
// (16). The answer to a home test: outcome (1), then a token, or a text of at
// most maxText octets. The answer to a refresh: one octet, 1 if the client is
// served there.

const (
	wireVersion = 1
	requestLen  = 1 + 16 + 16
	maxText     = 512
)

// outcome is the first octet of the answer to a home test.
type outcome byte

const (
	outcomeToken outcome = iota
	outcomeNoMobileIPv6
	outcomeSilent
	outcomeNotContactNode
	outcomeFailed
)

// marshalRequest encodes a request about p.
func marshalRequest(p pair) []byte {
	h, c := p.Home.As16(), p.Client.As16()
	b := append(make([]byte, 0, requestLen), wireVersion)
	return append(append(b, h[:]...), c[:]...)
}

func parseRequest(b []byte) (pair, error) {
	if len(b) < 1 || b[0] != wireVersion {
		return pair{}, fmt.Errorf("anycast: decode request: unknown version")
	}
	if len(b) != requestLen {
		return pair{}, fmt.Errorf("anycast: decode request: %d octets, want %d", len(b), requestLen)
	}
	p := pair{Home: netip.AddrFrom16([16]byte(b[1:17])), Client: netip.AddrFrom16([16]byte(b[17:33]))}
	if !p.Home.Is6() || p.Home.Is4In6() || p.Client.Is4In6() || p.Client.IsMulticast() || p.Client.IsUnspecified() {
		return pair{}, fmt.Errorf("anycast: decode request: %v and %v are no contact address and client", p.Home, p.Client)
	}
	return p, nil
}

// marshalAnswer encodes the answer to a home test.
func marshalAnswer(now time.Time, t rr.HomeToken, err error) ([]byte, error) {
	if err == nil {
		return t.Aged(now).AppendBinary([]byte{byte(outcomeToken)})
	}
	o := outcomeFailed
	switch {
	case errors.Is(err, errSilent):
		o = outcomeSilent
	case errors.Is(err, ErrNoMobileIPv6):
		o = outcomeNoMobileIPv6
	case errors.Is(err, ErrNotContactNode):
		o = outcomeNotContactNode
	}
	var op *OpError
	if errors.As(err, &op) {
		err = op.Err // what and about whom, the asker knows
	}
	text := err.Error()
	return append([]byte{byte(o)}, text[:min(len(text), maxText)]...), nil
}

// parseAnswer decodes it. The error is what the contact node said, or what is
// wrong with its answer.
func parseAnswer(now time.Time, b []byte) (rr.HomeToken, error) {
	if len(b) == 0 || len(b) > 1+maxText {
		return rr.HomeToken{}, fmt.Errorf("anycast: decode answer: %d octets", len(b))
	}
	rest := b[1:]
	switch outcome(b[0]) {
	case outcomeToken:
		var aged rr.AgedHomeToken
		if err := aged.UnmarshalBinary(rest); err != nil {
			return rr.HomeToken{}, fmt.Errorf("anycast: decode answer: %w", err)
		}
		return aged.At(now), nil
	case outcomeNoMobileIPv6:
		return rr.HomeToken{}, fmt.Errorf("%w (%q)", ErrNoMobileIPv6, rest)
	case outcomeSilent:
		return rr.HomeToken{}, fmt.Errorf("%w (%q)", errSilent, rest)
	case outcomeNotContactNode:
		return rr.HomeToken{}, fmt.Errorf("%w (%q)", ErrNotContactNode, rest)
	case outcomeFailed:
		return rr.HomeToken{}, fmt.Errorf("%w: %q", ErrNoHomeTest, rest)
	}
	return rr.HomeToken{}, fmt.Errorf("anycast: decode answer: unknown outcome %d", b[0])
}
