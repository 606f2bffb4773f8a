package rr

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// RelayConfig configures a Relay. The zero value is usable.
type RelayConfig struct {
	Rand     io.Reader // where cookies come from; default crypto/rand.Reader
	Limit    int       // home tests under way, in all; default DefaultRelayLimit
	PerAsker int       // home tests under way for one asker; default DefaultRelayPerAsker
	Tries    int       // transmissions of a Home Test Init; default DefaultTries
}

// ErrRelayFull says that as many home tests are under way as may be, in all or
// for this asker.
var ErrRelayFull = errors.New("rr: too many home tests under way")

// Pair is what a home test is about.
type Pair struct {
	Home, Client netip.Addr
}

func (p Pair) String() string { return fmt.Sprintf("%v with %v", p.Home, p.Client) }

func comparePairs(a, b Pair) int {
	return cmp.Or(a.Home.Compare(b.Home), a.Client.Compare(b.Client))
}

// Relay is the contact node's table of home tests under way. Only the contact
// node can make them: the home agent takes a Home Test Init from the registered
// care-of address only, and tunnels the Home Test there. Other replicas ask it
// (thesis §3.2.2). The answer is matched by the pair of addresses it came with
// and then, in constant time, by its cookie, which was made here. All who ask
// about one pair share one test.
type Relay struct {
	cfg    RelayConfig
	tests  map[Pair]*relayed
	askers map[netip.Addr]int // tests that each asks for
}

type relayed struct {
	run    *Initiator
	askers map[netip.Addr]int // how many times each waits for it
	ends   time.Time
}

// Ended is a home test that came to its end.
type Ended struct {
	Pair  Pair
	Token HomeToken // if Err is nil
	Err   error     // a *TimeoutError
}

// NewRelay makes an empty table.
func NewRelay(cfg RelayConfig) *Relay {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultRelayLimit
	}
	if cfg.PerAsker <= 0 {
		cfg.PerAsker = DefaultRelayPerAsker
	}
	return &Relay{cfg: cfg, tests: make(map[Pair]*relayed), askers: make(map[netip.Addr]int)}
}

// Ask adds asker to those who wait for a home test of the pair, and returns the
// Home Test Init to send if none is under way. Errors: ErrRelayFull, or the
// random source's. Each Ask is undone by Cancel, or by the test's end.
func (r *Relay) Ask(now time.Time, asker netip.Addr, p Pair) ([]Send, error) {
	t := r.tests[p]
	if t != nil {
		if t.askers[asker] == 0 {
			if r.askers[asker] >= r.cfg.PerAsker {
				return nil, fmt.Errorf("%w for %v: %d", ErrRelayFull, asker, r.askers[asker])
			}
			r.askers[asker]++
		}
		t.askers[asker]++
		return nil, nil
	}
	if r.askers[asker] >= r.cfg.PerAsker {
		return nil, fmt.Errorf("%w for %v: %d", ErrRelayFull, asker, r.askers[asker])
	}
	if len(r.tests) >= r.cfg.Limit {
		return nil, fmt.Errorf("%w: %d", ErrRelayFull, len(r.tests))
	}
	run := NewInitiator(InitiatorConfig{
		Home: p.Home, Correspondent: p.Client, Need: NeedHome, Tries: r.cfg.Tries, Rand: r.cfg.Rand,
	})
	out, err := run.Start(now)
	if err != nil {
		return nil, err
	}
	r.tests[p] = &relayed{run: run, askers: map[netip.Addr]int{asker: 1}, ends: now.Add(RelayLifetime)}
	r.askers[asker]++
	return out, nil
}

// Cancel takes back one Ask. The last one ends the test.
func (r *Relay) Cancel(asker netip.Addr, p Pair) {
	t := r.tests[p]
	if t == nil || t.askers[asker] == 0 {
		return
	}
	if t.askers[asker]--; t.askers[asker] > 0 {
		return
	}
	delete(t.askers, asker)
	r.release(asker)
	if len(t.askers) == 0 {
		delete(r.tests, p)
	}
}

// HomeTest takes a Home Test that came from p.Client to p.Home; false if nobody
// asked for it, or with another cookie.
func (r *Relay) HomeTest(now time.Time, p Pair, m *mipv6.HomeTest) (Ended, bool) {
	t := r.tests[p]
	if t == nil || !t.run.HomeTest(now, m) {
		return Ended{}, false
	}
	r.end(p, t)
	return Ended{Pair: p, Token: t.run.Keys().Home}, true
}

// Refuse ends the test of the pair because err: an ICMPv6 error that quotes the
// Home Test Init with this cookie said that the client does not know Mobility
// Headers. False if no test with that cookie is under way: who forges the error
// without having seen our message achieves nothing.
func (r *Relay) Refuse(p Pair, cookie mipv6.Cookie, err error) (Ended, bool) {
	t := r.tests[p]
	if t == nil || !t.run.Asked(NeedHome, cookie) {
		return Ended{}, false
	}
	r.end(p, t)
	return Ended{Pair: p, Err: err}, true
}

// Poll returns the Home Test Inits to retransmit now and the tests that ended
// without an answer, both in the order of their pairs.
func (r *Relay) Poll(now time.Time) (sends []Send, ended []Ended, err error) {
	var due []Pair
	for p, t := range r.tests {
		if !now.Before(t.next()) {
			due = append(due, p)
		}
	}
	slices.SortFunc(due, comparePairs)
	for _, p := range due {
		t := r.tests[p]
		out, err := t.run.Poll(now)
		if err != nil {
			return sends, ended, err
		}
		failed := t.run.Err()
		if failed == nil && !now.Before(t.ends) {
			failed = &TimeoutError{Missing: NeedHome, Correspondent: p.Client, Tries: len(t.run.home.cookies)}
		}
		if failed != nil {
			r.end(p, t)
			ended = append(ended, Ended{Pair: p, Err: failed})
			continue
		}
		sends = append(sends, out...)
	}
	return sends, ended, nil
}

// next is when the test needs a Poll.
func (t *relayed) next() time.Time {
	if at, ok := t.run.Next(); ok && at.Before(t.ends) {
		return at
	}
	return t.ends
}

// Next is when Poll has something to do; false with an empty table.
func (r *Relay) Next() (time.Time, bool) {
	var first time.Time
	for _, t := range r.tests {
		if at := t.next(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, !first.IsZero()
}

// Len is how many tests are under way.
func (r *Relay) Len() int { return len(r.tests) }

func (r *Relay) end(p Pair, t *relayed) {
	for asker := range t.askers {
		r.release(asker)
	}
	delete(r.tests, p)
}

func (r *Relay) release(asker netip.Addr) {
	if r.askers[asker]--; r.askers[asker] <= 0 {
		delete(r.askers, asker)
	}
}
