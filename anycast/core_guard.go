package anycast

import (
	"net/netip"
	"time"
)

// guardFor is for how long after taking the binding of a client from a replica that
// cannot be reached nothing is said to what we do not know of it: should that
// replica live, its connections had better meet silence than a reset.
const guardFor = 20 * time.Second

// guarding is a client that is guarded, and until when.
type guarding struct {
	*client
	until time.Time
}

// guard begins it for a client that is served here and relayed by a dead replica.
func (c *core) guard(now time.Time, p pair) error {
	cl, err := c.client(now, p)
	if err != nil {
		return err
	}
	if !cl.guarded {
		cl.guarded = true
		c.guards = append(c.guards, guarding{cl, now.Add(guardFor)})
		c.sync(cl)
	}
	return nil
}

// unguard ends the guarding of those whose time is over, and of the one named.
func (c *core) unguard(now time.Time, p pair) {
	left := c.guards[:0]
	for _, g := range c.guards {
		if now.Before(g.until) && g.pair != p {
			left = append(left, g)
			continue
		}
		g.guarded = false
		if c.clients[g.pair] == g.client {
			c.sync(g.client)
		}
	}
	c.guards = left
}

// orphaned binds a client to us whose binding's replica cannot be reached: it
// relays connections to us. It is nobody's any more, or as good as.
func (n *Node) orphaned(contact, client netip.Addr) {
	p := pair{Home: contact, Client: client}
	n.follow(p, func(a *Address) {
		var err error
		n.event(func(now time.Time) { err = n.core.guard(now, p) })
		if err == nil {
			err = a.Bind(n.background, client)
		}
		if err != nil {
			n.event(func(now time.Time) { n.core.unguard(now, p) })
			n.cfg.Logger.Warn("client of an unreachable replica not bound", "contact", contact, "client", client, "err", err)
			return
		}
		n.cfg.Logger.Info("client of an unreachable replica bound here", "contact", contact, "client", client)
	})
}
