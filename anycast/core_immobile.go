package anycast

import (
	"fmt"
	"time"
)

// standing tells whether a client is bound here, and whether it is remembered as
// one without Mobile IPv6.
func (c *core) standing(now time.Time, p pair) (bound, immobile bool) {
	cl := c.clients[p]
	if cl == nil {
		return false, false
	}
	blocked := now.Before(cl.blocked)
	return (c.bound(cl) || cl.early) && !blocked, now.Before(cl.refused) || blocked
}

// mobile tells whether a client is known to have Mobile IPv6, bound or not: one that
// was steered here may be about to be bound.
func (c *core) mobile(now time.Time, p pair) bool {
	cl := c.clients[p]
	return cl != nil && cl.proven && !now.Before(cl.blocked)
}

// assume remembers that a client has no Mobile IPv6.
func (c *core) assume(now time.Time, p pair) {
	cl, err := c.client(now, p)
	if err != nil {
		return // it is found out again
	}
	cl.refused, cl.proven = later(cl.refused, now.Add(refusalMemory)), false
}

// silent is a probe's end for a client that said nothing for a while: one that
// has spoken Mobile IPv6 before is only slow.
func (c *core) silent(now time.Time, p pair, err error) error {
	cl := c.clients[p]
	if cl != nil && cl.proven {
		return fmt.Errorf("%w: %v", ErrTimeout, err)
	}
	c.assume(now, p)
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
