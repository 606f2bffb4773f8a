package relay

import "github.com/vanycast/vanycast/mipv6/dataplane"

// A client that was relayed to us and is then bound to us sends straight from that
// moment on, known to it alone; what it had sent before is under way by the anchor.
// So the anchor goes on relaying for a while, and knows that its register is not
// the authority any more (Request.Late); and we take what comes by it.

// straighten is told that a client is bound here. What another replica left of it
// here is over then: its next connection may have the same port. The lock is held.
func (n *Node) straighten(client dataplane.Flow) {
	for c := range n.clients[client] {
		if e, ok := n.cache.Lookup(n.deps.Now(), c); ok && e.Late {
			n.cache.remove(c)
		}
		if o := n.owned[c]; o != nil && o.registered() && !o.busy && !o.held {
			n.straight(c, o)
		}
	}
}

// straight is straighten for one connection. Where a client's binding moves (Cede), old
// and new anchor know of each other. The lock is held.
func (n *Node) straight(c Conn, o *own) {
	if o.straight || o.bound || !o.anchor.IsValid() || o.anchor == n.cfg.Self {
		return
	}
	o.straight = true
	if _, there := n.seams[c]; !there && len(n.seams) < n.cfg.MaxEntries {
		n.seams[c] = seam{kind: late, peer: o.anchor, until: n.deps.Now().Add(seamLinger)}
	}
	n.confirm(c, o, straightDelay)
}
