package anycast

import (
	"net/netip"
	"time"
)

// refresh does the same for a binding that would lapse.
func (c *core) refresh(now time.Time, cl *client) {
	if cl.op == nil {
		c.startOp(now, cl.pair, &op{kind: opRefresh, params: c.bindParams(cl.Home)})
	}
}

// refreshRequested is a Binding Refresh Request: of the client itself, or passed
// on by the contact node (RFC 6275 §11.7.4). It tells whether the client is ours.
func (c *core) refreshRequested(now time.Time, p pair) bool {
	cl := c.clients[p]
	if cl == nil || !c.bound(cl) {
		return false
	}
	c.refresh(now, cl)
	return true
}

// passRefresh hands a Binding Refresh Request on to who may own the client.
func (c *core) passRefresh(p pair) {
	ct := c.contacts[p.Home]
	var nodes []netip.Addr
	if cl := c.clients[p]; cl != nil && cl.owner.IsValid() && cl.owner != c.cfg.careOf {
		nodes = append(nodes, cl.owner)
	}
	for _, a := range ct.Replicas {
		if a != c.cfg.careOf && (len(nodes) == 0 || nodes[0] != a) {
			nodes = append(nodes, a)
		}
	}
	if len(nodes) > 0 {
		c.do(passAction{p, nodes})
	}
}

// unknownBinding is a Binding Error, status 1: the client has forgotten us
// (RFC 6275 §11.3.6).
func (c *core) unknownBinding(now time.Time, p pair) {
	cl := c.clients[p]
	if cl == nil || !c.bound(cl) || cl.op != nil {
		return
	}
	c.disown(cl)
	cl.lost = true
	c.do(useAction{p})
}

// inUse is the answer to a useAction: whether the client's binding deserves to
// be refreshed.
func (c *core) inUse(now time.Time, p pair, used bool) {
	cl := c.clients[p]
	if cl == nil {
		return
	}
	lost := cl.lost
	cl.lost = false
	switch {
	case !used:
		// It may be used again before it lapses, and must not lapse then.
		c.list.Postpone(target(p), now.Add(refreshRetry))
		c.sync(cl)
	case lost && cl.op == nil:
		// The route stays optimised while the client is told again: it sends
		// through the home agent meanwhile, but only the contact node could.
		cl.early = true
		c.refresh(now, cl)
	case c.bound(cl):
		c.refresh(now, cl)
	}
}
