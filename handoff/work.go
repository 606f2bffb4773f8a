package handoff

import (
	"context"
	"time"
)

// work is the one action of a machine that is under way in the background.
type work struct {
	result chan Event // of the action under way, nil if none
	cancel context.CancelFunc
	kind   ActionKind
	began  time.Time
	phases map[string]time.Duration
	timer  *time.Timer // of wait
}

// start begins an action in place of the former, which is cancelled and whose
// result is dropped.
func (w *work) start(g *Agent, k ActionKind, f func(context.Context) Event) {
	w.stop()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan Event, 1)
	w.result, w.cancel = result, cancel
	w.begin(k)
	g.wg.Add(1)
	g.crew.Go(func() { defer g.wg.Done(); result <- f(ctx) })
}

// stop cancels what is under way.
func (w *work) stop() {
	if w.cancel != nil {
		w.cancel()
	}
	w.end()
}

// do does a short action at once.
func (w *work) do(k ActionKind, f func() error) Event {
	w.stop()
	w.begin(k)
	err := f()
	w.end()
	if err != nil {
		return Event{Kind: EventFailed, Err: err}
	}
	return Event{Kind: EventDone}
}

// begin and end measure how long each action takes, for the record.
func (w *work) begin(k ActionKind) { w.kind, w.began = k, time.Now() }

func (w *work) end() {
	if w.kind != 0 {
		if w.phases == nil {
			w.phases = make(map[string]time.Duration, 6)
		}
		w.phases[w.kind.String()] += time.Since(w.began)
	}
	w.result, w.cancel, w.kind = nil, nil, 0
}

// wait returns the result of what is under way, or EventTick at the deadline, or
// what a closed channel of others stands for; that channel is then forgotten.
func (w *work) wait(deadline time.Time, others ...*signal) Event {
	var tick <-chan time.Time
	if !deadline.IsZero() {
		if w.timer == nil {
			w.timer = time.NewTimer(time.Until(deadline))
		} else {
			w.timer.Reset(time.Until(deadline))
		}
		defer w.timer.Stop()
		tick = w.timer.C
	}
	var s [3]*signal
	copy(s[:], others)
	select {
	case e := <-w.result:
		w.cancel()
		w.end()
		return e
	case <-tick:
		return Event{Kind: EventTick}
	case <-s[0].channel():
		return s[0].fire()
	case <-s[1].channel():
		return s[1].fire()
	case <-s[2].channel():
		return s[2].fire()
	}
}

// signal is a channel whose closing is an event, once.
type signal struct {
	c     <-chan struct{}
	event func() Event
}

func (s *signal) channel() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.c
}

func (s *signal) fire() Event {
	s.c = nil
	return s.event()
}
