package bindings

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// ActionKind says what Poll wants done.
type ActionKind uint8

const (
	// Transmit: send a Binding Update with the action's fields.
	Transmit ActionKind = iota + 1
	// GaveUp: no acknowledgement came to any try; the exchange is over.
	GaveUp
	// RefreshDue: the binding should be refreshed, by another Begin, if it is
	// still wanted. Said once per acknowledgement.
	RefreshDue
	// Lapsed: the binding's lifetime is over; the entry stays for its number.
	Lapsed
)

// String names the kind.
func (k ActionKind) String() string {
	if k < Transmit || k > Lapsed {
		return "none"
	}
	return [...]string{"transmit", "gave up", "refresh due", "lapsed"}[k-Transmit]
}

// Action is what Poll wants done.
type Action struct {
	Kind   ActionKind
	Target Target
	// HomeRegistration tells home agents from correspondents.
	HomeRegistration bool
	// The rest is Transmit's.
	Sequence uint16
	Lifetime time.Duration // zero: a deletion
	CareOf   netip.Addr
	Try      int // 1 for the first
}

// Begin starts an exchange with t; Poll then gives the first transmission at
// once, or when MAX_UPDATE_RATE allows. An exchange under way is replaced.
// Errors: ErrListFull.
func (l *UpdateList) Begin(now time.Time, t Target, p Params) error {
	if p.FirstTimeout <= 0 {
		p.FirstTimeout = mipv6.InitialBindackTimeout
	}
	if p.Tries <= 0 {
		p.Tries = DefaultTries
	}
	p.Tries = min(p.Tries, maxTries)
	if p.Lifetime < 0 || p.Lifetime > mipv6.MaxLifetime {
		return fmt.Errorf("bindings: update of %v: lifetime %v is not within 0 and %v", t, p.Lifetime, mipv6.MaxLifetime)
	}
	u := l.entries[t]
	if u == nil {
		var err error
		if u, err = l.add(t, 0); err != nil {
			return err
		}
	}
	first := u.sequence + 1
	if p.Sequence != nil {
		first = *p.Sequence
	}
	u.exchange = &exchange{Params: p, first: first, at: now, timeout: p.FirstTimeout}
	l.schedule(u)
	return nil
}

// Poll returns what is due, in order of time and then of target. Call it after
// Begin and Acknowledge, and when Next says so.
func (l *UpdateList) Poll(now time.Time) []Action {
	var out []Action
	for {
		t, ok := l.deadlines.due(now, l.valid)
		if !ok {
			return out
		}
		u := l.entries[t]
		u.due = time.Time{} // taken off
		switch x := u.exchange; {
		case u.bound && !now.Before(u.expires):
			u.bound, u.refresh = false, time.Time{}
			out = append(out, Action{Kind: Lapsed, Target: t, HomeRegistration: u.home})
		case x != nil && !now.Before(x.at):
			if a, ok := l.transmit(now, u); ok {
				out = append(out, a)
			}
		case x == nil && u.bound && !u.refresh.IsZero():
			u.refresh = time.Time{}
			out = append(out, Action{Kind: RefreshDue, Target: t, HomeRegistration: u.home})
		}
		l.schedule(u)
	}
}

// transmit sends the exchange's next try, or ends it; nothing if the rate does
// not allow it yet.
func (l *UpdateList) transmit(now time.Time, u *update) (Action, bool) {
	x := u.exchange
	if x.tries >= x.Tries {
		u.exchange = nil
		return Action{Kind: GaveUp, Target: u.Target, HomeRegistration: x.HomeRegistration}, true
	}
	if ok, at := l.mayTransmit(now, u.Peer); !ok {
		x.at = at
		return Action{}, false
	}
	if len(x.sent) > 0 {
		x.timeout = min(2*x.timeout, mipv6.MaxBindackTimeout)
	}
	seq := x.first
	if !x.SameSequence {
		seq += uint16(len(x.sent))
	}
	if len(x.sent) == 0 || After(seq, u.sequence) {
		u.sequence = seq
	}
	x.sent = append(x.sent, now)
	x.tries++
	x.at = now.Add(x.timeout)
	l.noteTransmit(now, u.Peer)
	return Action{
		Kind: Transmit, Target: u.Target, Sequence: seq, Lifetime: x.Lifetime, CareOf: x.CareOf,
		HomeRegistration: x.HomeRegistration, Try: x.tries,
	}, true
}

// Next is when Poll has something to do; false if nothing is waited for.
func (l *UpdateList) Next() (time.Time, bool) { return l.deadlines.next(l.valid) }
