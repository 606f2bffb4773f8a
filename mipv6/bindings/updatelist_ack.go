package bindings

import (
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// OutcomeKind says what an acknowledgement did.
type OutcomeKind uint8

const (
	// Ignored: it answers no update under way.
	Ignored OutcomeKind = iota
	// Accepted: bound, for Outcome.Lifetime; or deleted, if that was asked.
	Accepted
	// Resynced: status 135 told the last number, and the exchange goes on from
	// there.
	Resynced
	// Refused: the exchange is over; Outcome.Status says why, and with status
	// 135 Outcome.Last is the number that the receiver has accepted last.
	Refused
)

// String names the kind.
func (k OutcomeKind) String() string {
	return [...]string{"ignored", "accepted", "resynced", "refused"}[min(k, Refused)]
}

// Outcome is what Acknowledge made of an acknowledgement.
type Outcome struct {
	Kind     OutcomeKind
	Status   mipv6.Status
	Lifetime time.Duration // granted, of Accepted
	Last     uint16        // of Refused with status 135
	Deleted  bool          // of Accepted: the exchange was a deletion
}

// Acknowledge takes a Binding Acknowledgement from t.Peer that the caller found
// authentic (RFC 6275 §11.7.3). Its number must be one that this exchange used,
// unless its status is 135.
func (l *UpdateList) Acknowledge(now time.Time, t Target, m *mipv6.BindingAcknowledgement) Outcome {
	u := l.entries[t]
	if u == nil || u.exchange == nil || len(u.exchange.sent) == 0 {
		return Outcome{}
	}
	x := u.exchange
	if m.Status == mipv6.StatusSequenceOutOfWindow {
		return l.outOfWindow(now, u, m)
	}
	if !x.used(m.Sequence) {
		return Outcome{}
	}
	u.exchange = nil
	defer l.schedule(u)
	if !m.Status.Accepted() {
		return Outcome{Kind: Refused, Status: m.Status}
	}
	if x.Lifetime == 0 {
		u.bound, u.refresh = false, time.Time{}
		return Outcome{Kind: Accepted, Status: m.Status, Deleted: true}
	}
	// More than was asked for cannot be granted, and what is left counts from
	// when the update left (§11.7.3).
	granted := min(m.Lifetime, x.Lifetime)
	if granted <= 0 {
		u.bound, u.refresh = false, time.Time{}
		return Outcome{Kind: Refused, Status: mipv6.StatusReasonUnspecified}
	}
	u.bound, u.careOf, u.home = true, x.CareOf, x.HomeRegistration
	sent := x.sentAt(m.Sequence)
	u.lifetime, u.expires = granted, sent.Add(granted)
	u.refresh = refreshAt(sent, granted, m, x.HomeRegistration)
	return Outcome{Kind: Accepted, Status: m.Status, Lifetime: granted}
}

// used reports whether seq is a number that the exchange has sent.
func (x *exchange) used(seq uint16) bool {
	if x.SameSequence {
		return seq == x.first
	}
	return seq-x.first < uint16(len(x.sent))
}

// sentAt is when the update with that number left.
func (x *exchange) sentAt(seq uint16) time.Time {
	if x.SameSequence {
		return x.sent[0]
	}
	return x.sent[seq-x.first]
}

// outOfWindow handles status 135. Its number is the one that the receiver has
// accepted last; whose was it?
//
// After a retransmission it may be our own: a later try overtook an earlier one,
// and the earlier one is refused. Then the answer to the later one is on its
// way, or the next try will get one. But the number of the very first try may
// also have been used by another replica at the same time, and between "mine"
// and "maybe another's" only the first is safe to assume of later numbers.
func (l *UpdateList) outOfWindow(now time.Time, u *update, m *mipv6.BindingAcknowledgement) Outcome {
	x := u.exchange
	if !x.SameSequence && m.Sequence != x.first && x.used(m.Sequence) {
		return Outcome{}
	}
	if After(x.first, m.Sequence) {
		return Outcome{} // it would have accepted us: an answer to something older
	}
	if x.SameSequence || x.resyncs >= x.Resyncs {
		u.exchange = nil
		if After(m.Sequence, u.sequence) {
			u.sequence = m.Sequence
		}
		l.schedule(u)
		return Outcome{Kind: Refused, Status: m.Status, Last: m.Sequence}
	}
	x.resyncs++
	x.first, x.sent = m.Sequence+1, nil
	x.tries = min(x.tries, x.Tries-1) // the new number gets at least one try
	x.at = now
	l.schedule(u)
	return Outcome{Kind: Resynced, Status: m.Status, Last: m.Sequence}
}
