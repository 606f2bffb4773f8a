package handoff

import (
	"errors"
	"fmt"
	"time"
)

// Acceptor is the acceptor's half of one handoff, without I/O, in the manner of
// Donor.
//
//	admitting ─ inserting ─ binding ─ activating ─ delivering ─ accepted
//	    └───────────┴──────────┴──────────┴─────── refused
//
// The acceptor owns the client from the moment that the client accepted its
// Binding Update. Until then whatever goes wrong leaves no trace but, where an
// update may have reached the client (Outcome.Touched), its binding, which the
// donor repairs.
//
// Where it can be heard through the donor it does not wait for that:
//
//	admitting ─ inserting ─ activating ─ delivering ─ binding ─ accepted
//	    └───────────┴───────────┴───── refused ── severing ┘
//
// It owns the client from the moment that anything of it was heard, which only the
// donor knows. So it goes on also if it could not be bound (Outcome.Touched: the
// donor has to send on for it), and gives up, in silence, only if the number was
// used by another: by the donor, then, because it was not heard. It may try at any
// time, also while the donor asks: who relays it knows whose a number is, which a
// client does not.
type Acceptor struct {
	state    acceptorState
	deadline time.Time
	budget   time.Duration
	speaks   bool          // it lives before it is bound
	until    time.Time     // and has to be bound by then
	stop     *RefusedError // why binding is being stopped
	outcome  Outcome
}

type acceptorState uint8

const (
	acceptorNew acceptorState = iota
	acceptorAdmitting
	acceptorInserting
	acceptorBinding
	acceptorActivating
	acceptorAbandoning
	acceptorDelivering
	acceptorSevering
	acceptorEnded
)

var acceptorStates = [...]string{"new", "admitting", "inserting", "binding", "activating", "abandoning", "delivering", "severing", "ended"}

// String names the state.
func (s acceptorState) String() string { return acceptorStates[s] }

// NewAcceptor makes the acceptor's half of a handoff that has to be bound within
// budget; EventStart sets it going.
func NewAcceptor(budget time.Duration) *Acceptor { return &Acceptor{budget: budget} }

// Deadline is when the machine wants EventTick; zero: never.
func (a *Acceptor) Deadline() time.Time { return a.deadline }

// Step takes an event. An event that does not fit the state changes nothing.
//
// The time is looked at here, too: a step that keeps its host busy, or a host that
// stood still, ends before the tick is heard, and what ends late must not begin to
// bind. The donor may be asking the client by then (Timing.settled).
func (a *Acceptor) Step(now time.Time, e Event) []Action {
	switch a.state {
	case acceptorAdmitting, acceptorInserting:
		if !a.deadline.IsZero() && !now.Before(a.deadline) {
			a.stopped(Event{Kind: EventTick})
		}
	}
	switch a.state {
	case acceptorNew:
		if e.Kind == EventStart {
			a.state, a.deadline = acceptorAdmitting, now.Add(a.budget)
			return do(ActionAdmit)
		}
	case acceptorAdmitting:
		switch {
		case e.Kind == EventDone && a.stop == nil:
			a.state = acceptorInserting
			return do(ActionInsert)
		case e.Kind == EventDone:
			return a.refuse(a.stop, false)
		case e.Kind == EventFailed:
			return a.refuse(refusal(e.Err, ReasonUnspecified), false)
		}
		a.stopped(e)
	case acceptorInserting:
		switch {
		case e.Kind == EventDone && a.stop == nil && e.Speaks:
			a.state, a.speaks, a.until, a.deadline = acceptorActivating, true, a.deadline, time.Time{}
			return do(ActionActivate)
		case e.Kind == EventDone && a.stop == nil:
			a.state = acceptorBinding
			return do(ActionStart)
		case e.Kind == EventDone:
			return a.abandon(a.stop, false)
		case e.Kind == EventFailed:
			return a.refuse(refusal(e.Err, ReasonInsert), false)
		}
		a.stopped(e)
	case acceptorBinding:
		if a.speaks {
			return a.registering(e)
		}
		return a.binding(e)
	case acceptorActivating:
		switch e.Kind {
		case EventDone:
			a.state = acceptorDelivering
			return do(ActionDeliver)
		case EventFailed:
			return a.abandon(refusal(e.Err, ReasonActivate), !a.speaks)
		}
	case acceptorAbandoning, acceptorSevering:
		if e.Kind == EventDone || e.Kind == EventFailed {
			return a.end(a.outcome)
		}
	case acceptorDelivering:
		switch {
		case e.Kind == EventDone && a.speaks:
			// Also if the time is over, which then ends at once that we wait: it
			// is heard through the donor no longer than that has to be.
			a.state, a.deadline = acceptorBinding, a.until
			return do(ActionStart)
		case e.Kind == EventDone:
			return a.end(Outcome{Verdict: VerdictAccepted})
		}
	}
	return nil
}

// registering is binding when the client is served here already. Nobody can stop
// it: the time only ends that we try.
func (a *Acceptor) registering(e Event) []Action {
	switch e.Kind {
	case EventDone:
		return a.end(Outcome{Verdict: VerdictAccepted})
	case EventFailed:
		if !errors.Is(e.Err, ErrTaken) {
			return a.end(Outcome{Verdict: VerdictAccepted, Touched: true})
		}
		r := refusal(e.Err, ReasonBind)
		a.state, a.deadline = acceptorSevering, time.Time{}
		a.outcome = Outcome{Verdict: VerdictRefused, Reason: r.Reason, Text: r.Text}
		return do(ActionSever)
	case EventTick, EventGiveUp:
		a.deadline = time.Time{}
		return do(ActionStop)
	}
	return nil
}

// stopped notes that it is no use to go on: the donor asked to stop, or the time
// is over.
func (a *Acceptor) stopped(e Event) bool {
	if a.stop != nil {
		return false
	}
	switch e.Kind {
	case EventAbort:
		a.stop = &RefusedError{Reason: ReasonAborted}
	case EventTick:
		a.stop = &RefusedError{Reason: ReasonBind, Text: fmt.Sprintf("not bound within %v", a.budget)}
	case EventGiveUp:
		a.stop = &RefusedError{Reason: ReasonDraining}
	default:
		return false
	}
	a.deadline = time.Time{}
	return true
}

// binding: an update may be on its way or in the client's cache already, so
// stopping means to hear first how it ended.
func (a *Acceptor) binding(e Event) []Action {
	switch e.Kind {
	case EventDone:
		// The client is ours, also if the donor wanted to stop meanwhile.
		a.state, a.deadline = acceptorActivating, time.Time{}
		return do(ActionActivate)
	case EventFailed:
		r := refusal(e.Err, ReasonBind)
		if a.stop != nil && !errors.Is(r, ErrNoMobileIPv6) {
			r = a.stop
		}
		return a.abandon(r, !errors.Is(e.Err, ErrUntouched))
	}
	if a.stopped(e) {
		return do(ActionStop)
	}
	return nil
}

// abandon takes the inserted endpoint away again, in silence.
func (a *Acceptor) abandon(r *RefusedError, touched bool) []Action {
	a.state, a.deadline = acceptorAbandoning, time.Time{}
	a.outcome = Outcome{Verdict: VerdictRefused, Reason: r.Reason, Text: r.Text, Touched: touched}
	return []Action{{Kind: ActionAbandon, Touched: touched}}
}

func (a *Acceptor) refuse(r *RefusedError, touched bool) []Action {
	return a.end(Outcome{Verdict: VerdictRefused, Reason: r.Reason, Text: r.Text, Touched: touched})
}

func (a *Acceptor) end(o Outcome) []Action {
	a.state, a.deadline, a.outcome = acceptorEnded, time.Time{}, o
	return []Action{{Kind: ActionEnd, Outcome: o}}
}
