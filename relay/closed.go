package relay

import "slices"

// A connection that its application has closed is not over: what is unsent goes out
// and what is lost is sent again, by the kernel alone. So it stays one of its
// client's connections for a while: it is on the list when the binding goes
// elsewhere, and relayed from there, and the others do not take the binding along.

// Closed says that a connection was closed here; others, that its client has more
// of them here. It is nothing to a client that has no other, here or relayed.
func (n *Node) Closed(c Conn, others bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, o := c.pair(), n.owned[c]
	if o == nil || !o.live {
		if !n.boundPair(p) || !others && !n.anchors(p.contact, p.client, c) {
			return
		}
		var err error
		if o, err = n.ownOf(c); err != nil {
			n.log.Warn("closed connection is not relayed if its client goes elsewhere", "connection", c.String(), "err", err)
			return
		}
		o.live, o.sequence, o.anchor, o.bound = true, firstSequence(), n.cfg.Self, true
	}
	o.closed, o.over = true, n.deps.Now().Add(idleUse)
	if n.boundPair(p) {
		o.renew = o.over // then it is forgotten
	}
	n.syncQuietly(c)
}

// withClosed adds a client's closed connections to the live ones. The lock is held.
func (n *Node) withClosed(p clientPair, all []Conn) []Conn {
	for _, c := range n.closedOf(p) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// closedOf are a client's closed connections that go straight from here, and may have
// something to send. The lock is held.
func (n *Node) closedOf(p clientPair) (all []Conn) {
	for _, c := range n.ofClient(p) {
		if o := n.owned[c]; o != nil && o.closed && o.registered() && n.boundPair(p) && n.deps.Now().Before(o.over) {
			all = append(all, c)
		}
	}
	return all
}
