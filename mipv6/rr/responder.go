package rr

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// ResponderConfig configures a Responder. The zero value is usable.
type ResponderConfig struct {
	Rand io.Reader // where Kcn and the nonces come from; default crypto/rand.Reader
	// Rate is how many tests a second are answered for askers of one /64
	// (default 64), sixteen times that in all; Burst how many at once (default
	// 4×Rate). Tests above it are dropped, and asked again by their sender.
	Rate, Burst int
}

// Responder is the correspondent's half of return routability (RFC 6275 §9.4).
// It keeps no state about any mobile node.
type Responder struct {
	kcn    [nodeKeyLen]byte
	nonces *nonces
	limit  limiter
}

// ErrRateLimited says that a test was not answered because too many were asked.
var ErrRateLimited = errors.New("rr: too many tests asked for")

// NewResponder makes a Responder with a fresh Kcn (RFC 6275 §5.2.1).
func NewResponder(cfg ResponderConfig) (*Responder, error) {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Rate <= 0 {
		cfg.Rate = 64
	}
	if cfg.Burst <= 0 {
		cfg.Burst = 4 * cfg.Rate
	}
	r := &Responder{limit: limiter{rate: float64(cfg.Rate), burst: float64(cfg.Burst)}}
	if _, err := io.ReadFull(cfg.Rand, r.kcn[:]); err != nil {
		return nil, fmt.Errorf("rr: make node key: %w", err)
	}
	if _, err := io.ReadFull(cfg.Rand, r.limit.seed[:]); err != nil {
		return nil, fmt.Errorf("rr: make limiter seed: %w", err)
	}
	var err error
	if r.nonces, err = newNonces(cfg.Rand); err != nil {
		return nil, err
	}
	return r, nil
}

// HomeTest answers a Home Test Init that came from the home address; the answer
// goes back to that address (RFC 6275 §9.4.1, §9.4.3). The caller has checked
// that no Home Address option was there. Errors: ErrRateLimited, or the random
// source's.
func (r *Responder) HomeTest(now time.Time, home netip.Addr, m *mipv6.HomeTestInit) (*mipv6.HomeTest, error) {
	n, t, err := r.token(now, home, homeKind)
	if err != nil {
		return nil, err
	}
	return &mipv6.HomeTest{NonceIndex: n, Cookie: m.Cookie, Token: t}, nil
}

// CareOfTest answers a Care-of Test Init that came from the care-of address
// (RFC 6275 §9.4.2, §9.4.4). Errors as for HomeTest.
func (r *Responder) CareOfTest(now time.Time, careOf netip.Addr, m *mipv6.CareOfTestInit) (*mipv6.CareOfTest, error) {
	n, t, err := r.token(now, careOf, careOfKind)
	if err != nil {
		return nil, err
	}
	return &mipv6.CareOfTest{NonceIndex: n, Cookie: m.Cookie, Token: t}, nil
}

func (r *Responder) token(now time.Time, addr netip.Addr, kind byte) (uint16, mipv6.KeygenToken, error) {
	if !r.limit.allow(now, addr) {
		return 0, mipv6.KeygenToken{}, ErrRateLimited
	}
	n, err := r.nonces.current(now)
	if err != nil {
		return 0, mipv6.KeygenToken{}, err
	}
	return n.index, keygenToken(r.kcn[:], addr, n.value[:], kind), nil
}
