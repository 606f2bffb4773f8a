package handoff

import (
	"errors"
	"fmt"
	"time"
)

// Acceptor is the acceptor's half of one handoff, without I/O, in the manner of
// Donor.
//
//	admitting ─ inserting ─ binding ─ activating ─ accepted
//	    └───────────┴──────────┴──────────┴─────── refused
//
// The acceptor owns the client from the moment that the client accepted its
// Binding Update. Until then whatever goes wrong leaves no trace but, where an
// update may have reached the client (Outcome.Touched), its binding, which the
// donor repairs.
type Acceptor struct {
	state    acceptorState
	deadline time.Time
	budget   time.Duration
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
	acceptorEnded
)

var acceptorStates = [...]string{"new", "admitting", "inserting", "binding", "activating", "abandoning", "delivering", "ended"}

// String names the state.
func (s acceptorState) String() string { return acceptorStates[s] }

// NewAcceptor makes the acceptor's half of a handoff that has to be bound within
// budget; EventStart sets it going.
func NewAcceptor(budget time.Duration) *Acceptor { return &Acceptor{budget: budget} }

// Deadline is when the machine wants EventTick; zero: never.
func (a *Acceptor) Deadline() time.Time { return a.deadline }

// Step takes an event. An event that does not fit the state changes nothing.
func (a *Acceptor) Step(now time.Time, e Event) []Action {
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
		return a.binding(e)
	case acceptorActivating:
		switch e.Kind {
		case EventDone:
			a.state = acceptorDelivering
			return do(ActionDeliver)
		case EventFailed:
			return a.abandon(refusal(e.Err, ReasonActivate), true)
		}
	case acceptorAbandoning:
		if e.Kind == EventDone || e.Kind == EventFailed {
			return a.end(a.outcome)
		}
	case acceptorDelivering:
		if e.Kind == EventDone {
			return a.end(Outcome{Verdict: VerdictAccepted})
		}
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
