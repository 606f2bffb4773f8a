package handoff

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

// outcomes is an acceptor's memory of what became of each attempt. A donor whose
// acknowledgement was lost asks; what is not known when it asks will not be taken
// later. Nothing is dropped before its time: a donor that is told "unknown" of a
// client that was taken would serve it too.
type outcomes struct {
	limit int

	mu   sync.Mutex
	m    map[attemptKey]*attempt
	done list.List // of *attempt that are decided, the oldest first
}

type attemptKey struct {
	donor netip.Addr
	id    attemptID
}

// attempt is one handoff as the acceptor remembers it.
type attempt struct {
	key     attemptKey
	decided chan struct{} // closed when outcome and at are there
	outcome Outcome
	at      time.Time
	ctx     context.Context // ends when the donor asks to stop
	stop    context.CancelFunc
}

func newOutcomes(limit int) *outcomes {
	return &outcomes{limit: limit, m: make(map[attemptKey]*attempt)}
}

// begin notes an attempt. It returns one that is known already, with fresh
// false, and nil if there is no room for another.
func (o *outcomes) begin(k attemptKey, now time.Time) (a *attempt, fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.m[k]; a != nil {
		return a, false
	}
	o.expire(now)
	if len(o.m) >= o.limit {
		return nil, false
	}
	a = &attempt{key: k, decided: make(chan struct{})}
	a.ctx, a.stop = context.WithCancel(context.Background())
	o.m[k] = a
	return a, true
}

// decide ends an attempt.
func (o *outcomes) decide(a *attempt, out Outcome, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a.outcome, a.at = out, now
	o.done.PushBack(a)
	close(a.decided)
}

func (o *outcomes) expire(now time.Time) {
	for e := o.done.Front(); e != nil; e = o.done.Front() {
		a := e.Value.(*attempt)
		if now.Sub(a.at) < forgetOutcome {
			return
		}
		o.done.Remove(e)
		delete(o.m, a.key)
	}
}
