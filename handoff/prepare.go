package handoff

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Prepare does ahead of a handoff to the target all that can be done while the
// client is served here: the target is reached, keeps a place for the client, and
// does return routability. A Handoff to it within the next seconds begins with
// the freezing; without one nothing happens. The client is not touched, and it
// does not matter what the application does with it meanwhile. Errors are those
// of a Handoff that fails while the client is still served.
func (g *Agent) Prepare(ctx context.Context, c *Client, target netip.Addr) error {
	if !g.begin() {
		return ErrClosed
	}
	defer g.wg.Done()
	binder, ok := g.d.Anycast(c.Local, c.Remote)
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoContact, c.Local.Addr())
	}
	o := offer{mode: g.d.Modes(c.Service), Offer: Offer{
		ID: c.ID, Service: c.Service, Contact: c.Local, Client: c.Remote, From: g.d.Self, StateBytes: len(c.State),
	}}
	if err := o.check(); err != nil {
		return err
	}
	patience := g.d.Timing.offer(o.mode)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w: no answer to the offer within %v", ErrUnreachable, patience))
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	e := g.offer(ctx, target, binder, o)
	switch {
	case g.ctx.Err() != nil:
		return ErrClosed
	case e.Kind != EventAnswer:
		return targeted(e.Err, target)
	case e.Outcome.Verdict != VerdictAccepted:
		return targeted(e.Outcome.refusal(), target)
	}
	p := preparation{target: target, instance: e.Outcome.Instance, mode: o.mode, until: time.Now().Add(prepared)}
	if m := e.Outcome.Mode; m.valid() && m < p.mode {
		p.mode = m
	}
	if !g.prepared.add(connection{c.Local, c.Remote}, p, time.Now()) {
		return fmt.Errorf("%w: too many handoffs are prepared", ErrBusy)
	}
	g.wakeJanitor()
	return nil
}

// connection is the two ends of one.
type connection struct{ contact, client netip.AddrPort }

// whole stands for all that the client has with the contact address.
func (c connection) whole() connection {
	return connection{netip.AddrPortFrom(c.contact.Addr(), 0), netip.AddrPortFrom(c.client.Addr(), 0)}
}

// preparation is what a donor knows of a target that is prepared for a client.
type preparation struct {
	target   netip.Addr
	instance uint64
	mode     Mode
	until    time.Time
}

// preparations are bounded in number and time; each connection has one, its last.
type preparations struct {
	limit int
	mu    sync.Mutex
	m     map[connection]preparation
}

func newPreparations(limit int) *preparations {
	return &preparations{limit: limit, m: make(map[connection]preparation)}
}

// add reports whether there was room.
func (s *preparations) add(c connection, p preparation, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.m[c]; !there && len(s.m) >= s.limit {
		s.sweep(now)
		if len(s.m) >= s.limit {
			return false
		}
	}
	s.m[c] = p
	return true
}

// take gives a preparation for the target that still holds. Whatever was prepared
// for the connection is forgotten: its handoff is under way.
func (s *preparations) take(c connection, target netip.Addr, now time.Time) (preparation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.m[c]
	delete(s.m, c)
	return p, ok && p.target == target && now.Before(p.until)
}

// expire forgets what does not hold any more and says when there is more.
func (s *preparations) expire(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sweep(now)
}

func (s *preparations) sweep(now time.Time) (next time.Time) {
	for c, p := range s.m {
		switch {
		case !now.Before(p.until):
			delete(s.m, c)
		case next.IsZero() || p.until.Before(next):
			next = p.until
		}
	}
	return next
}
