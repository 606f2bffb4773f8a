package handoff

import (
	"errors"
	"fmt"
	"time"
)

// Donor is the donor's half of one handoff, without I/O: Step takes what
// happened and the time and returns what to do next. One action at a time is
// under way; when Step returns another, or the machine has ended, what is left
// of the former is cancelled and its result not reported any more.
//
//	offering ─ freezing ─ extracting ─ sending ─────────────── released
//	    │          │           │           │ no answer            │
//	    │          │           │         asking ⇄ reclaiming      │
//	    │          │           │           │ ours                 │
//	    └──────────┴──────── thawing ──────┴─ (binding)           │
//	                           └──────────── ended ───────────────┘
//
// The client is frozen from freezing on, and it is let go (released) only when
// the acceptor said that it has it, or when the client's binding cache says so and
// the acceptor cannot be asked until Timing.Recover is over, or when neither can
// be asked for as long. It is thawed only if the request never left, or the
// acceptor said that it does not have the client and will not, or the client
// accepted our Binding Update with the number that the acceptor's would have had
// (RFC 6275 §9.5.1): then the acceptor's is refused. That is tried when the
// acceptor must have ended what it does, be it that its time is over, be it that
// its process is. An acceptor that may be heard through us before it is bound is
// halted first, and what is said above holds only if it was not heard.
type Donor struct {
	timing Timing
	mode   Mode
	state  donorState
	// deadline is when Step wants EventTick, zero for never.
	deadline  time.Time
	settled   time.Time // an acceptor that cannot be asked has ended by then
	recoverBy time.Time
	retry     time.Duration
	offered   bool       // ahead of the handoff
	instance  uint64     // the acceptor's, at the offer
	abort     bool       // ask the acceptor to stop as well
	dead      bool       // the acceptor's process is no more
	theirs    bool       // the client is bound to the acceptor, or
	heard     bool       // has heard it, as far as we know
	last      bool       // the last question is asked
	speaks    bool       // the acceptor may be heard through us
	sent      bool       // the acceptor may have the request
	unbound   bool       // after thawing, the client's binding needs repair
	halted    donorState // what halting is for: donorThawing or donorReclaiming
	err       error      // how it will end
}

type donorState uint8

const (
	donorNew donorState = iota
	donorOffering
	donorFreezing
	donorExtracting
	donorSending
	donorAsking
	donorReclaiming
	donorHalting
	donorPausing
	donorThawing
	donorBinding
	donorReleasing
	donorEnded
)

var donorStates = [...]string{"new", "offering", "freezing", "extracting", "sending", "asking", "reclaiming", "halting", "pausing", "thawing", "binding", "releasing", "ended"}

// String names the state.
func (s donorState) String() string { return donorStates[s] }

// NewDonor makes the donor's half of a handoff, in that mode or what the acceptor
// can do of it; EventStart sets it going.
func NewDonor(t Timing, m Mode) *Donor {
	t = t.withDefaults()
	return &Donor{timing: t, mode: m, retry: t.Retry}
}

// Offered tells a machine that was not set going yet that the client was offered
// before: the acceptor's process that would take it, and how.
func (d *Donor) Offered(instance uint64, m Mode) { d.offered, d.instance, d.mode = true, instance, m }

// Mode is how the client is handed off; the acceptor has its say at the offer.
func (d *Donor) Mode() Mode { return d.mode }

// Deadline is when the machine wants EventTick; zero: never.
func (d *Donor) Deadline() time.Time { return d.deadline }

// Instance is the acceptor's process that answered the offer.
func (d *Donor) Instance() uint64 { return d.instance }

// enter changes the state; its deadline is after from now, 0 for none.
func (d *Donor) enter(s donorState, now time.Time, after time.Duration) {
	d.state, d.deadline = s, time.Time{}
	if after > 0 {
		d.deadline = now.Add(after)
	}
}

// Step takes an event. An event that does not fit the state changes nothing.
func (d *Donor) Step(now time.Time, e Event) []Action {
	switch d.state {
	case donorNew:
		switch {
		case e.Kind == EventStart && d.offered:
			return d.freeze(now)
		case e.Kind == EventStart:
			d.enter(donorOffering, now, d.timing.offer(d.mode))
			return do(ActionOffer)
		}
	case donorOffering:
		return d.offering(now, e)
	case donorFreezing:
		switch e.Kind {
		case EventDone:
			d.speaks = e.Speaks
			d.enter(donorExtracting, now, 0)
			return do(ActionExtract)
		case EventFailed: // the socket is as it was
			return d.end(e.Err)
		}
	case donorExtracting:
		switch e.Kind {
		case EventDone:
			d.sent, d.settled = true, now.Add(d.timing.settled())
			d.enter(donorSending, now, d.timing.Handoff)
			return do(ActionSend)
		case EventFailed:
			return d.thaw(now, e.Err)
		}
	case donorSending:
		return d.sending(now, e)
	case donorAsking, donorReclaiming, donorPausing:
		return d.recover(now, e)
	case donorHalting:
		return d.halting(now, e)
	case donorThawing:
		return d.thawed(now, e)
	case donorBinding:
		switch e.Kind {
		case EventDone, EventFailed, EventTick, EventGiveUp: // nobody else serves the client, bound or not
			return d.end(d.err)
		}
	case donorReleasing:
		if e.Kind == EventDone || e.Kind == EventFailed {
			return d.end(d.err)
		}
	}
	return nil
}

// offering: is the acceptor there, and willing?
func (d *Donor) offering(now time.Time, e Event) []Action {
	switch e.Kind {
	case EventAnswer:
		if e.Outcome.Verdict != VerdictAccepted {
			return d.end(e.Outcome.refusal())
		}
		d.instance = e.Outcome.Instance
		if m := e.Outcome.Mode; m.valid() && m < d.mode {
			d.mode = m
		}
		return d.freeze(now)
	case EventFailed, EventCancel:
		return d.end(e.Err)
	case EventUnsent:
		return d.end(e.Err)
	case EventTick:
		return d.end(fmt.Errorf("%w: no answer to the offer within %v", ErrUnreachable, d.timing.offer(d.mode)))
	case EventGiveUp:
		return d.end(ErrClosed)
	}
	return nil
}

// freeze begins what the client may notice.
func (d *Donor) freeze(now time.Time) []Action {
	d.enter(donorFreezing, now, 0)
	return do(ActionFreeze)
}

// sending: the acceptor has the client, or will, or not.
func (d *Donor) sending(now time.Time, e Event) []Action {
	switch e.Kind {
	case EventAnswer:
		if e.Outcome.Verdict != VerdictPending {
			return d.answered(now, e.Outcome)
		}
		d.err = errors.New("handoff: not decided yet")
	case EventUnsent:
		d.sent = false
		return d.thaw(now, e.Err)
	case EventFailed:
		d.err = e.Err
	case EventTick:
		d.err = fmt.Errorf("handoff: not acknowledged within %v", d.timing.Handoff)
		d.abort = true
	case EventCancel:
		d.err = e.Err
		d.abort = true
	case EventGiveUp:
		return d.release(now, fmt.Errorf("%w: %w", ErrGone, ErrClosed))
	default:
		return nil
	}
	d.recoverBy = d.settled.Add(d.timing.Recover)
	return d.ask(now)
}

// answered: the acceptor said what became of the client.
func (d *Donor) answered(now time.Time, o Outcome) []Action {
	switch o.Verdict {
	case VerdictAccepted:
		return d.release(now, nil)
	case VerdictRefused:
		d.unbound = o.Touched
		return d.thaw(now, o.refusal())
	case VerdictUnknown:
		// From now on it will not take that request either.
		if o.Instance == d.instance || d.state == donorSending {
			return d.thaw(now, o.refusal())
		}
		// Another process answers a question. The one that was sent the client
		// may have bound it, and its application may have it still: the client
		// knows.
		d.dead = true
		return d.unasked(now)
	}
	if now.Before(d.settled) {
		return d.pause(now)
	}
	// Something keeps it. Whatever that is, it does not begin to bind any more.
	return d.unasked(now)
}

// unasked: the acceptor cannot be asked, or does not know, or not yet.
func (d *Donor) unasked(now time.Time) []Action {
	switch {
	case d.theirs && d.dead, d.last: // nothing more to learn
		return d.lose(now)
	case d.theirs, !d.dead && now.Before(d.settled):
		return d.pause(now)
	}
	if d.speaks {
		return d.halt(donorReclaiming)
	}
	return d.reclaim(now)
}

func (d *Donor) reclaim(now time.Time) []Action {
	d.enter(donorReclaiming, now, d.timing.Reclaim)
	return do(ActionReclaim)
}

// halt ends that the acceptor is heard through us, before what must not be done if
// it was.
func (d *Donor) halt(before donorState) []Action {
	d.state, d.deadline, d.halted = donorHalting, time.Time{}, before
	return do(ActionHalt)
}

// halting: an acceptor that was heard has the connection for good: what we have of
// it is not true any more. Where we cannot know it counts as heard.
func (d *Donor) halting(now time.Time, e Event) []Action {
	switch {
	case e.Kind == EventDone && d.halted == donorReclaiming:
		return d.reclaim(now)
	case e.Kind == EventDone:
		return d.thawNow(now)
	case e.Kind != EventTaken && e.Kind != EventFailed:
		return nil
	}
	d.err = errors.Join(d.err, e.Err)
	d.theirs, d.heard = true, true
	if d.halted == donorThawing || d.dead {
		return d.lose(now)
	}
	return d.pause(now)
}

func (d *Donor) ask(now time.Time) []Action {
	d.enter(donorAsking, now, d.timing.Ask)
	return []Action{{Kind: ActionAsk, Abort: d.abort}}
}

// recover: the acknowledgement is missing. The acceptor knows best; the client's
// binding cache is asked when the acceptor cannot be.
func (d *Donor) recover(now time.Time, e Event) []Action {
	if e.Kind == EventGiveUp {
		return d.release(now, fmt.Errorf("%w: %w: %w", ErrGone, ErrClosed, d.err))
	}
	switch d.state {
	case donorAsking:
		switch e.Kind {
		case EventAnswer:
			return d.answered(now, e.Outcome)
		case EventFailed, EventUnsent, EventTick:
			d.dead = d.dead || e.Dead
			return d.unasked(now)
		}
	case donorReclaiming:
		switch e.Kind {
		case EventDone:
			return d.thaw(now, fmt.Errorf("handoff: client taken back: %w", d.err))
		case EventTaken:
			// The acceptor has it, if it lives: only it can tell more.
			d.theirs = true
			if d.dead {
				return d.lose(now)
			}
			return d.again(now)
		case EventFailed, EventTick:
			return d.again(now)
		}
	case donorPausing:
		if e.Kind == EventTick {
			return d.ask(now)
		}
	}
	return nil
}

// again follows an attempt to take the client back. That may have taken long: the
// acceptor is asked once more before the client is let go.
func (d *Donor) again(now time.Time) []Action {
	if now.Before(d.recoverBy) {
		return d.pause(now)
	}
	d.last = true
	return d.ask(now)
}

// pause waits before the next round, or ends the recovery.
func (d *Donor) pause(now time.Time) []Action {
	if !now.Before(d.recoverBy) {
		return d.lose(now)
	}
	d.enter(donorPausing, now, d.retry)
	d.retry = min(2*d.retry, maxRetry)
	return do(ActionWait)
}

// lose lets the client go though nobody said that the acceptor serves it.
func (d *Donor) lose(now time.Time) []Action {
	where := "neither the target nor the client can be asked"
	switch {
	case d.heard:
		where = "the client has heard the target"
	case d.theirs:
		where = "the client is bound to the target, which cannot be asked"
	}
	return d.release(now, fmt.Errorf("%w: %s: %w", ErrGone, where, d.err))
}

func (d *Donor) thaw(now time.Time, err error) []Action {
	d.err = err
	if d.speaks && d.sent {
		return d.halt(donorThawing)
	}
	return d.thawNow(now)
}

func (d *Donor) thawNow(now time.Time) []Action {
	d.enter(donorThawing, now, 0)
	return do(ActionThaw)
}

// thawed: the client is served here again. If that failed the descriptor is the
// application's all the same: it will see what the kernel makes of it.
func (d *Donor) thawed(now time.Time, e Event) []Action {
	switch e.Kind {
	case EventFailed:
		d.err = errors.Join(d.err, e.Err)
	case EventDone:
	default:
		return nil
	}
	if d.unbound {
		d.enter(donorBinding, now, d.timing.Bind)
		return do(ActionBind)
	}
	return d.end(d.err)
}

func (d *Donor) release(now time.Time, err error) []Action {
	d.err = err
	d.enter(donorReleasing, now, 0)
	return do(ActionRelease)
}

func (d *Donor) end(err error) []Action {
	d.state, d.deadline, d.err = donorEnded, time.Time{}, err
	return []Action{{Kind: ActionEnd, Err: err}}
}
