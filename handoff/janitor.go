package handoff

import "time"

// janitor closes what was buried and lets go what was held when its time comes.
func (g *Agent) janitor() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := g.sweep(time.Now())
		wait := time.Hour
		if !next.IsZero() {
			wait = max(time.Until(next), time.Millisecond)
		}
		timer.Reset(wait)
		select {
		case <-g.ctx.Done():
			return
		case <-g.buried:
		case <-timer.C:
		}
	}
}

// sweep does what is due and says when there is more.
func (g *Agent) sweep(now time.Time) time.Time {
	next, err := g.d.TCP.Expire(now)
	if err != nil {
		g.d.Logger.Warn("handoff: closing a buried connection", "err", err)
	}
	if at := g.prepared.expire(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
		next = at
	}
	g.mu.Lock()
	var due []connection
	for f, h := range g.held {
		switch {
		case !now.Before(h.until):
			due = append(due, f)
		case next.IsZero() || h.until.Before(next):
			next = h.until
		}
	}
	g.mu.Unlock()
	for _, f := range due {
		g.unhold(f)
	}
	return next
}

// hold shields a client that may be bound here though this replica gave it up:
// its segments would be answered with resets. How many are held is bounded by
// MaxOutcomes: each is one that is remembered.
func (g *Agent) hold(f connection, b Binder) {
	if err := b.Hold(f.client.Addr()); err != nil {
		g.d.Logger.Warn("handoff: holding a client", "client", f.client, "contact", f.contact, "err", err)
		return
	}
	g.mu.Lock()
	g.held[f] = &held{b, time.Now().Add(g.d.Timing.Hold)}
	g.mu.Unlock()
	g.wakeJanitor()
}

// unhold ends hold, if it was.
func (g *Agent) unhold(f connection) {
	g.mu.Lock()
	h := g.held[f]
	delete(g.held, f)
	g.mu.Unlock()
	if h == nil {
		return
	}
	if err := h.binder.Unhold(f.client.Addr()); err != nil {
		g.d.Logger.Warn("handoff: letting a client's packets through", "client", f.client, "contact", f.contact, "err", err)
	}
}

// bury keeps a connection that left this host, for its late segments.
func (g *Agent) bury(f Frozen) {
	if err := g.d.TCP.Bury(f, time.Now().Add(g.d.Timing.Linger)); err != nil {
		g.d.Logger.Warn("handoff: burying a connection", "err", err)
	}
	g.wakeJanitor()
}

func (g *Agent) wakeJanitor() {
	select {
	case g.buried <- struct{}{}:
	default:
	}
}
