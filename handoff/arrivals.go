package handoff

import (
	"context"
	"fmt"
)

// A client may be served here before it is bound. Until it is, it cannot be handed
// on: its mark is not known yet.

// arriving notes such a client; the function returned says that it is bound, or
// that nobody tries any more.
func (g *Agent) arriving(c connection) (arrived func()) {
	done := make(chan struct{})
	g.mu.Lock()
	g.arrivals[c] = done
	g.mu.Unlock()
	return func() {
		g.mu.Lock()
		if g.arrivals[c] == done {
			delete(g.arrivals, c)
		}
		g.mu.Unlock()
		close(done)
	}
}

// awaitArrived waits for a client that is to be handed on.
func (g *Agent) awaitArrived(ctx context.Context, c connection) error {
	g.mu.Lock()
	done := g.arrivals[c]
	g.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("handoff: client %s has only just come: %w", c.client, context.Cause(ctx))
	case <-g.ctx.Done():
		return ErrClosed
	}
}
