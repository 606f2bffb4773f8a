package rr

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Need says which tokens a run is after.
type Need uint8

// A binding needs both, a deletion or a test made for another replica the home
// token only.
const (
	NeedHome Need = 1 << iota
	NeedCareOf
	NeedBoth = NeedHome | NeedCareOf
)

// String names the tests of the tokens.
func (n Need) String() string {
	switch n {
	case NeedHome:
		return "home test"
	case NeedCareOf:
		return "care-of test"
	case NeedBoth:
		return "home test and care-of test"
	}
	return fmt.Sprintf("need %d", uint8(n))
}

// Initiator is one run of the mobile node's half of return routability
// (RFC 6275 §11.6). It ends with Done, or with Err when the tries are used up.
type Initiator struct {
	cfg          InitiatorConfig
	home, careOf exchange
	have         Need
	keys         Keys
	err          error
}

// NewInitiator prepares a run.
func NewInitiator(cfg InitiatorConfig) *Initiator {
	if cfg.Need == 0 {
		cfg.Need = NeedBoth
	}
	if cfg.Tries <= 0 {
		cfg.Tries = DefaultTries
	}
	cfg.Tries = min(cfg.Tries, maxTries)
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return &Initiator{cfg: cfg, home: exchange{tries: cfg.Tries}, careOf: exchange{tries: cfg.Tries}}
}

// Start returns the first messages: both at once (RFC 6275 §5.2.5). An error is
// the random source's.
func (i *Initiator) Start(now time.Time) ([]Send, error) {
	if t := i.cfg.HomeToken; t != nil && t.Fresh(now) && i.needs(NeedHome) {
		i.keys.Home, i.have = *t, i.have|NeedHome
	}
	var out []Send
	if i.needs(NeedHome) && !i.cfg.Relayed {
		s, err := i.sendHome(now)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if i.needs(NeedCareOf) {
		s, err := i.sendCareOf(now)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// needs reports whether n is wanted and not there.
func (i *Initiator) needs(n Need) bool { return i.cfg.Need&^i.have&n != 0 }

func (i *Initiator) sendHome(now time.Time) (Send, error) {
	c, err := i.home.send(now, i.cfg.Rand)
	return Send{i.cfg.Home, i.cfg.Correspondent, &mipv6.HomeTestInit{Cookie: c}}, err
}

func (i *Initiator) sendCareOf(now time.Time) (Send, error) {
	c, err := i.careOf.send(now, i.cfg.Rand)
	return Send{i.cfg.CareOf, i.cfg.Correspondent, &mipv6.CareOfTestInit{Cookie: c}}, err
}

// Poll returns what is to be retransmitted now, and notices the end of the tries.
func (i *Initiator) Poll(now time.Time) ([]Send, error) {
	if i.err != nil || i.Done() {
		return nil, nil
	}
	var missing Need
	if i.home.spent(now) {
		missing |= NeedHome
	}
	if i.careOf.spent(now) {
		missing |= NeedCareOf
	}
	if missing != 0 {
		i.err = &TimeoutError{Missing: missing, Correspondent: i.cfg.Correspondent, Tries: i.cfg.Tries}
		return nil, nil
	}
	var out []Send
	if i.home.retransmit(now) {
		s, err := i.sendHome(now)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if i.careOf.retransmit(now) {
		s, err := i.sendCareOf(now)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Next is when Poll has something to do; false if nothing is waited for here.
func (i *Initiator) Next() (time.Time, bool) {
	if i.err != nil {
		return time.Time{}, false
	}
	var at time.Time
	for _, e := range []*exchange{&i.home, &i.careOf} {
		if e.waiting() && (at.IsZero() || e.due.Before(at)) {
			at = e.due
		}
	}
	return at, !at.IsZero()
}

// HomeTest takes a Home Test that the correspondent sent to the home address
// (the caller has checked both); false if it answers nothing that this run asked
// (RFC 6275 §11.6.2).
func (i *Initiator) HomeTest(now time.Time, m *mipv6.HomeTest) bool {
	if i.err != nil || !i.home.answered(m.Cookie) {
		return false
	}
	i.keys.Home = HomeToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: now}
	i.have |= NeedHome
	return true
}

// CareOfTest takes a Care-of Test that the correspondent sent to the care-of
// address (the caller has checked both); false if it answers nothing.
func (i *Initiator) CareOfTest(now time.Time, m *mipv6.CareOfTest) bool {
	if i.err != nil || !i.careOf.answered(m.Cookie) {
		return false
	}
	i.keys.CareOf = CareOfToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: now}
	i.have |= NeedCareOf
	return true
}

// SetHomeToken takes a token that came another way: from the contact node.
func (i *Initiator) SetHomeToken(t HomeToken) {
	i.home.done = true
	i.keys.Home, i.have = t, i.have|NeedHome
}

// Asked reports whether an Init message with that cookie was sent for test n and
// is not answered yet: what an ICMPv6 error quotes must be ours.
func (i *Initiator) Asked(n Need, c mipv6.Cookie) bool {
	switch n {
	case NeedHome:
		return !i.home.done && i.home.match(c)
	case NeedCareOf:
		return !i.careOf.done && i.careOf.match(c)
	}
	return false
}

// Done reports whether all that is needed is there.
func (i *Initiator) Done() bool { return i.cfg.Need&^i.have == 0 }

// Missing is what is needed and not there yet.
func (i *Initiator) Missing() Need { return i.cfg.Need &^ i.have }

// Err is a *TimeoutError once the tries are used up.
func (i *Initiator) Err() error { return i.err }

// Keys is what the run got; complete when Done.
func (i *Initiator) Keys() Keys { return i.keys }
