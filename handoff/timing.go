package handoff

import "time"

// Timing bounds every step. Zero fields have the defaults named.
type Timing struct {
	// Offer bounds connecting to the target and its answer to the offer, while
	// the client is still served; default 2 s.
	Offer time.Duration
	// Prepare is the same where the acceptor does return routability meanwhile,
	// which lost packets may delay; default 8 s.
	Prepare time.Duration
	// Handoff is how long the donor waits for the acknowledgement before it
	// asks what became of it; default 8 s. The acceptor gets a little less for
	// what it does.
	Handoff time.Duration
	// Ask bounds one question to the acceptor; default 2 s.
	Ask time.Duration
	// Reclaim bounds one attempt to take the client back by a Binding Update;
	// default 9 s, longer than package anycast's own bound: one that is cut
	// short leaves its end open.
	Reclaim time.Duration
	// Bind bounds the repair of a client's binding after an acceptor that may
	// have changed it gave up; default 4 s.
	Bind time.Duration
	// Recover is how long, after an acceptor that cannot be asked must have
	// ended what it does, the donor goes on asking and reclaiming before it lets
	// the client go; default 6 s.
	Recover time.Duration
	// Retry is the first pause between two rounds of that, doubled up to
	// maxRetry; default 200 ms.
	Retry time.Duration
	// Linger is how long the frozen connection of a client that left is kept, to
	// swallow its late segments; default 60 s.
	Linger time.Duration
	// Hold is how long an acceptor that gave a client up drops what comes from
	// it: until the donor has repaired the client's binding. Default 10 s.
	Hold time.Duration
}

// maxRetry bounds the pause between two rounds of recovery.
const maxRetry = time.Second

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Offer, 2 * time.Second}, {&t.Prepare, 8 * time.Second}, {&t.Handoff, 8 * time.Second}, {&t.Ask, 2 * time.Second}, {&t.Reclaim, 9 * time.Second},
		{&t.Bind, 4 * time.Second}, {&t.Recover, 6 * time.Second}, {&t.Retry, 200 * time.Millisecond}, {&t.Linger, time.Minute},
		{&t.Hold, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

// budget is what the acceptor gets of the donor's patience: the rest is for the
// way there and back.
func (t Timing) budget() time.Duration { return t.Handoff * 7 / 8 }

// offer is how long a donor waits for the answer to an offer.
func (t Timing) offer(m Mode) time.Duration {
	if m == ModeBasic {
		return t.Offer
	}
	return t.Prepare
}

// preparing is what the acceptor of an offer gets of that.
func (t Timing) preparing() time.Duration { return t.Prepare * 7 / 8 }

// prepared is how long after PrepareHandoff a Handoff finds all in place: the
// acceptor's tokens are good for longer (rr.Fresh), and so is the place that it
// keeps.
const prepared = 15 * time.Second

// transit is how late a request can arrive: on a connection that its acceptor
// still takes for live though the donor has given it up (peer: three heartbeats).
const transit = 3 * time.Second

// settled is how long after the request was sent an acceptor that cannot be asked
// has surely ended what it does: it begins within transit and binds within its
// budget. Before that the client's binding cache cannot be asked who owns it, for
// the acceptor may still change the answer.
func (t Timing) settled() time.Duration { return t.Handoff + transit }

// forgetOutcome is how long an acceptor remembers what became of a handoff:
// longer than any donor asks, with a wide margin for donors configured otherwise.
const forgetOutcome = 10 * time.Minute
