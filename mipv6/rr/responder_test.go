package rr

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// start is when the tests' time begins; nothing depends on the value.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// seeded is a random source that gives the same each time.
func seeded() io.Reader { return rand.NewChaCha8([32]byte{1}) }

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func newResponder(t *testing.T, cfg ResponderConfig) *Responder {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = seeded()
	}
	r, err := NewResponder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keysFrom makes a whole run against the responder.
func keysFrom(t *testing.T, r *Responder, now time.Time, home, coa netip.Addr) Keys {
	t.Helper()
	ht, err := r.HomeTest(now, home, &mipv6.HomeTestInit{Cookie: mipv6.Cookie{1}})
	if err != nil {
		t.Fatal(err)
	}
	ct, err := r.CareOfTest(now, coa, &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{2}})
	if err != nil {
		t.Fatal(err)
	}
	if ht.Cookie != (mipv6.Cookie{1}) || ct.Cookie != (mipv6.Cookie{2}) {
		t.Fatal("cookies are not returned (RFC 6275 §6.1.5, §6.1.6)")
	}
	return Keys{
		Home:   HomeToken{Token: ht.Token, NonceIndex: ht.NonceIndex, Received: now},
		CareOf: CareOfToken{Token: ct.Token, NonceIndex: ct.NonceIndex, Received: now},
	}
}

// update encodes a Binding Update as its receiver sees it.
func update(t *testing.T, bu *mipv6.BindingUpdate, key Key, covered netip.Addr) Update {
	t.Helper()
	raw, err := mipv6.MarshalAuthenticated(bu, contact, client, func(data []byte) mipv6.Authenticator {
		return Authenticate(key, covered, client, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := mipv6.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return Update{Message: m.(*mipv6.BindingUpdate), Raw: raw, Home: contact, Source: careOf, Correspondent: client}
}

func TestVerify(t *testing.T) {
	r := newResponder(t, ResponderConfig{})
	keys := keysFrom(t, r, start, contact, careOf)
	other := netip.MustParseAddr("2001:db8:2::20")
	bind := func(opts ...mipv6.Option) *mipv6.BindingUpdate {
		return &mipv6.BindingUpdate{Sequence: 7, Acknowledge: true, Lifetime: 420 * time.Second, Options: opts}
	}
	remove := func(lifetime time.Duration, opts ...mipv6.Option) *mipv6.BindingUpdate {
		return &mipv6.BindingUpdate{Sequence: 8, Lifetime: lifetime, Options: opts}
	}
	ni := keys.NonceIndices()
	homeOnly := &mipv6.NonceIndices{Home: ni.Home, CareOf: ni.CareOf + 1000}
	for _, tc := range []struct {
		name string
		u    Update
		want error
		del  bool
	}{
		{"binds §9.5.1", update(t, bind(ni), keys.Kbm(), careOf), nil, false},
		{"deletes by lifetime, home address covered §6.2.7",
			update(t, remove(0, homeOnly), keys.KbmDelete(), contact), nil, true},
		{"deletes by lifetime, care-of address covered (UMIP)",
			update(t, remove(0, homeOnly), keys.KbmDelete(), careOf), nil, true},
		{"deletes by care-of address equal to home address §9.5.1",
			update(t, remove(420*time.Second, homeOnly, &mipv6.AlternateCareOf{Addr: contact}), keys.KbmDelete(), contact), nil, true},
		{"a deletion's key does not bind", update(t, bind(ni), keys.KbmDelete(), careOf), ErrNotAuthenticated, false},
		{"a binding's key does not delete", update(t, remove(0, ni), keys.Kbm(), contact), ErrNotAuthenticated, true},
		{"no nonce indices §9.5.1", update(t, bind(), keys.Kbm(), careOf), ErrNoNonceIndices, false},
		{"a care-of address that was not tested §5.2.6",
			update(t, bind(ni, &mipv6.AlternateCareOf{Addr: other}), keys.Kbm(), other), ErrNotAuthenticated, false},
		{"unknown care-of nonce §9.5.1", update(t, bind(homeOnly), keys.Kbm(), careOf),
			&NonceError{mipv6.StatusExpiredCareOfNonce}, false},
		{"unknown home nonce §9.5.1",
			update(t, bind(&mipv6.NonceIndices{Home: ni.Home + 9, CareOf: ni.CareOf}), keys.Kbm(), careOf),
			&NonceError{mipv6.StatusExpiredHomeNonce}, false},
		{"both unknown §9.5.1",
			update(t, bind(&mipv6.NonceIndices{Home: ni.Home + 9, CareOf: ni.CareOf + 9}), keys.Kbm(), careOf),
			&NonceError{mipv6.StatusExpiredNonces}, false},
		{"home registration", update(t, &mipv6.BindingUpdate{HomeRegistration: true, Lifetime: 4 * time.Second}, keys.Kbm(), careOf),
			ErrHomeRegistration, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.u.Deletes() != tc.del {
				t.Errorf("Deletes() = %v", tc.u.Deletes())
			}
			auth, err := r.Verify(at(time.Second), tc.u)
			var want *NonceError
			if errors.As(tc.want, &want) {
				var got *NonceError
				if !errors.As(err, &got) || got.Status != want.Status {
					t.Fatalf("error %v, want %v", err, want)
				}
				return
			}
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err == nil && auth.Correspondent != client {
				t.Errorf("authority for %v", auth.Correspondent)
			}
		})
	}
}

func TestVerifyWithoutAuthorizationData(t *testing.T) {
	r := newResponder(t, ResponderConfig{})
	keys := keysFrom(t, r, start, contact, careOf)
	bu := &mipv6.BindingUpdate{Lifetime: 4 * time.Second, Options: []mipv6.Option{keys.NonceIndices()}}
	raw, err := mipv6.Marshal(bu, contact, client)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Verify(start, Update{Message: bu, Raw: raw, Home: contact, Source: careOf, Correspondent: client})
	if !errors.Is(err, ErrNotAuthenticated) {
		t.Errorf("error %v", err)
	}
}

// A token is good for MAX_TOKEN_LIFETIME whenever it was made, and no nonce
// outlives MAX_NONCE_LIFETIME (RFC 6275 §5.2.2, §12).
func TestNonceLifetimes(t *testing.T) {
	r := newResponder(t, ResponderConfig{Rate: 1 << 20})
	indices := make(map[uint16]time.Duration)
	for d := time.Duration(0); d < 20*time.Minute; d += 7 * time.Second {
		keys := keysFrom(t, r, at(d), contact, careOf)
		if _, seen := indices[keys.Home.NonceIndex]; !seen {
			indices[keys.Home.NonceIndex] = d
		}
		bu := &mipv6.BindingUpdate{Lifetime: 4 * time.Second, Options: []mipv6.Option{keys.NonceIndices()}}
		u := update(t, bu, keys.Kbm(), careOf)
		if _, err := r.Verify(at(d+mipv6.MaxTokenLifetime), u); err != nil {
			t.Fatalf("token made at %v is no good after MAX_TOKEN_LIFETIME: %v", d, err)
		}
		// Look again from the same state but later: use a copy, for time only goes on.
		later := *r
		n := *r.nonces
		n.live = append([]nonce(nil), n.live...)
		later.nonces = &n
		if _, err := later.Verify(at(d+mipv6.MaxNonceLifetime+time.Second), u); err == nil {
			t.Fatalf("token made at %v is still good after MAX_NONCE_LIFETIME", d)
		}
		if len(r.nonces.live) > 1+int(mipv6.MaxNonceLifetime/NonceInterval) {
			t.Fatalf("%d nonces are kept", len(r.nonces.live))
		}
	}
	if len(indices) < 15 {
		t.Errorf("only %d nonces in 20 minutes", len(indices))
	}
}

func TestRateLimit(t *testing.T) {
	r := newResponder(t, ResponderConfig{Rate: 2, Burst: 3})
	ask := func(d time.Duration, from netip.Addr) error {
		_, err := r.HomeTest(at(d), from, &mipv6.HomeTestInit{})
		return err
	}
	for i := range 3 {
		if err := ask(0, contact); err != nil {
			t.Fatalf("test %d of the burst: %v", i, err)
		}
	}
	if err := ask(0, contact); !errors.Is(err, ErrRateLimited) {
		t.Errorf("beyond the burst: %v", err)
	}
	if err := ask(0, contact.Next()); !errors.Is(err, ErrRateLimited) {
		t.Errorf("another address of the same /64: %v", err)
	}
	if err := ask(0, client); err != nil {
		t.Errorf("another /64: %v", err)
	}
	if err := ask(500*time.Millisecond, contact); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

func TestNoEntropy(t *testing.T) {
	if _, err := NewResponder(ResponderConfig{Rand: failingReader{}}); err == nil {
		t.Error("a responder without randomness was made")
	}
	if _, err := NewInitiator(InitiatorConfig{Rand: failingReader{}}).Start(start); err == nil {
		t.Error("a run without randomness began")
	}
}
