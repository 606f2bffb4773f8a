package bindings

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

const (
	Idle    UpdateState = iota // nothing bound; the last number is remembered
	Pending                    // an update is under way, nothing bound yet
	Bound                      // acknowledged, and not expired
)

// ErrListFull says that the list has as many entries as it may.
var ErrListFull = errors.New("bindings: update list is full")

// UpdateList is a replica's binding update list.
type UpdateList struct {
	limit     int
	entries   map[Target]*update
	rates     map[netip.Addr]*rate
	deadlines deadlines[Target]
}

type update struct {
	Target
	sequence  uint16
	bound     bool
	careOf    netip.Addr
	home      bool
	lifetime  time.Duration // granted
	expires   time.Time
	refresh   time.Time // zero: reported, or not wanted
	suspended time.Time // no refresh before
	exchange  *exchange
	due       time.Time
}

// exchange is the update under way.
type exchange struct {
	Params
	first   uint16      // number of the first transmission since the last resync
	sent    []time.Time // of the transmissions since then
	tries   int         // transmissions in all
	at      time.Time   // of the next
	timeout time.Duration
	resyncs int
}

// NewUpdateList makes an empty list of at most limit entries; 0 means
// DefaultUpdateLimit.
func NewUpdateList(limit int) *UpdateList {
	if limit <= 0 {
		limit = DefaultUpdateLimit
	}
	return &UpdateList{
		limit:     limit,
		entries:   make(map[Target]*update),
		rates:     make(map[netip.Addr]*rate),
		deadlines: deadlines[Target]{less: func(a, b Target) bool { return compareTargets(a, b) < 0 }},
	}
}

// Get is the entry for t.
func (l *UpdateList) Get(t Target) (Update, bool) {
	u := l.entries[t]
	if u == nil {
		return Update{}, false
	}
	return u.view(), true
}

// All are all entries, sorted.
func (l *UpdateList) All() []Update {
	all := make([]Update, 0, len(l.entries))
	for _, u := range l.entries {
		all = append(all, u.view())
	}
	slices.SortFunc(all, func(a, b Update) int { return compareTargets(a.Target, b.Target) })
	return all
}

func (u *update) view() Update {
	v := Update{
		Target: u.Target, CareOf: u.careOf, HomeRegistration: u.home, Sequence: u.sequence,
		Outstanding: u.exchange != nil,
	}
	switch {
	case u.bound:
		v.State, v.Lifetime, v.Expires, v.Refresh = Bound, u.lifetime, u.expires, u.refresh
	case u.exchange != nil:
		v.State = Pending
	}
	return v
}

// Learn notes a sequence number that another replica used for this target. A
// number that is known and greater stays.
func (l *UpdateList) Learn(t Target, sequence uint16) error {
	u := l.entries[t]
	if u == nil {
		var err error
		if u, err = l.add(t, sequence); err != nil {
			return err
		}
	}
	if After(sequence, u.sequence) {
		u.sequence = sequence
	}
	return nil
}

func (l *UpdateList) add(t Target, sequence uint16) (*update, error) {
	if len(l.entries) >= l.limit {
		return nil, fmt.Errorf("%w: %d entries, adding %v", ErrListFull, len(l.entries), t)
	}
	u := &update{Target: t, sequence: sequence}
	l.entries[t] = u
	return u, nil
}

// Forget drops the entry and any exchange under way: the client was handed off,
// or the deletion is over.
func (l *UpdateList) Forget(t Target) {
	delete(l.entries, t)
	l.deadlines.compact(len(l.entries), l.valid)
}

// Suspend keeps the binding from being refreshed before until: while a handoff
// decides who sends the next number, we must not.
func (l *UpdateList) Suspend(t Target, until time.Time) {
	u := l.entries[t]
	if u == nil {
		return
	}
	u.suspended = until
	l.schedule(u)
}

// Postpone makes RefreshDue due again at at, if the binding still stands then.
func (l *UpdateList) Postpone(t Target, at time.Time) {
	if u := l.entries[t]; u != nil && u.bound {
		u.refresh = at
		l.schedule(u)
	}
}

// Abort ends the exchange under way, if any, without an answer.
func (l *UpdateList) Abort(t Target) {
	if u := l.entries[t]; u != nil && u.exchange != nil {
		u.exchange = nil
		l.schedule(u)
	}
}

// Len is the number of entries.
func (l *UpdateList) Len() int { return len(l.entries) }

// schedule sets the one deadline of the entry.
func (l *UpdateList) schedule(u *update) {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if u.exchange != nil {
		earlier(u.exchange.at)
	} else if u.bound && !u.refresh.IsZero() {
		if u.suspended.After(u.refresh) {
			earlier(u.suspended)
		} else {
			earlier(u.refresh)
		}
	}
	if u.bound {
		earlier(u.expires)
	}
	if u.due.Equal(at) {
		return // it waits for that already; twice, compact could not tell which is stale
	}
	u.due = at
	l.deadlines.add(at, u.Target)
	l.deadlines.compact(len(l.entries), l.valid)
}

func (l *UpdateList) valid(t Target, at time.Time) bool {
	u := l.entries[t]
	return u != nil && u.due.Equal(at)
}

// refreshAt is when a binding of that lifetime, sent at sent, is refreshed; a
// home agent's Binding Refresh Advice may name an earlier moment (RFC 6275
// §6.2.4).
func refreshAt(sent time.Time, granted time.Duration, ack *mipv6.BindingAcknowledgement, home bool) time.Time {
	after := granted - min(granted/4, refreshLead)
	if advice, ok := mipv6.FindOption[*mipv6.RefreshAdvice](ack); ok && home &&
		advice.Interval > 0 && advice.Interval < after {
		after = advice.Interval
	}
	return sent.Add(after)
}
