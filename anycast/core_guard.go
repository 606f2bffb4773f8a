package anycast

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// guardOrphaned is for how long after taking the binding of a client from a replica
	// that cannot be reached nothing is said to what we do not know of it: should that
	// replica live, its connections had better meet silence than a reset.
	guardOrphaned = 20 * time.Second
	// guardTaken is the same after taking it from one that cedes it, if that one cannot
	// tell of the connections that have begun there meanwhile.
	guardTaken = 5 * time.Second
	// guardTouched is the same where it is not known whether we took it: until the old
	// anchor has the client again.
	guardTouched = 10 * time.Second
)

// guarding is a client that is guarded, and until when. It counts as long as the
// client's own record says the same.
type guarding struct {
	*client
	until time.Time
}

// guard has what we do not know of a client meet silence, for a time at least. What it
// returns is for endGuard.
func (c *core) guard(now time.Time, p pair, d time.Duration) (time.Time, error) {
	cl, err := c.client(now, p)
	if err != nil {
		return time.Time{}, err
	}
	until := now.Add(d)
	if until.After(cl.guarded) {
		c.guardUntil(cl, until)
		c.sync(cl)
	}
	return until, nil
}

// guardUntil notes how long a client is guarded; the list is in the order of time.
func (c *core) guardUntil(cl *client, until time.Time) {
	cl.guarded = until
	at, _ := slices.BinarySearchFunc(c.guards, until, func(g guarding, t time.Time) int { return g.until.Compare(t) })
	c.guards = slices.Insert(c.guards, at, guarding{cl, until})
}

// endGuard ends, after a while, what guard began, unless it goes on for another reason.
func (c *core) endGuard(now time.Time, p pair, until time.Time, after time.Duration) {
	cl := c.clients[p]
	if cl == nil || until.IsZero() || !cl.guarded.Equal(until) {
		return
	}
	c.guards = slices.DeleteFunc(c.guards, func(g guarding) bool { return g.client == cl })
	cl.guarded = time.Time{}
	if after > 0 {
		c.guardUntil(cl, now.Add(after))
	}
	c.sync(cl)
}

// unguard ends the guarding of those whose time is over.
func (c *core) unguard(now time.Time) {
	for len(c.guards) > 0 && !now.Before(c.guards[0].until) {
		g := c.guards[0]
		c.guards = c.guards[1:]
		if c.clients[g.pair] == g.client && g.guarded.Equal(g.until) {
			g.guarded = time.Time{}
			c.sync(g.client)
		}
	}
}

// isGuarded tells whether what is not known of a client meets silence.
func (cl *client) isGuarded() bool { return !cl.guarded.IsZero() }

// guard is core's, and endGuard.
func (n *Node) guard(p pair, d time.Duration) (until time.Time, err error) {
	err = ErrClosed
	n.event(func(now time.Time) { until, err = n.core.guard(now, p, d) })
	return until, err
}

func (n *Node) endGuard(p pair, until time.Time, after time.Duration) {
	n.event(func(now time.Time) { n.core.endGuard(now, p, until, after) })
}

// orphaned binds a client to us whose binding's replica cannot be reached: it
// relays connections to us. It is nobody's any more, or as good as.
func (n *Node) orphaned(contact, client netip.Addr) {
	p := pair{Home: contact, Client: client}
	n.follow(p, func(a *Address) {
		until, err := n.guard(p, guardOrphaned)
		if err == nil {
			err = a.Bind(n.background, client)
		}
		if err != nil {
			n.endGuard(p, until, 0)
			n.cfg.Logger.Warn("client of an unreachable replica not bound", "contact", contact, "client", client, "err", err)
			return
		}
		n.cfg.Logger.Info("client of an unreachable replica bound here", "contact", contact, "client", client)
	})
}
