package relay

import "net/netip"

// SetContactNode says which replica is the contact node; it may be this one. The
// connections that the one before relayed for us are registered at the new one,
// with the numbers that they have, and so are our own if we were it.
func (n *Node) SetContactNode(contact, node netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[contact]
	if ct == nil {
		return
	}
	before := ct.node
	if ct.active {
		before = n.cfg.Self
	}
	ct.deposed = (ct.deposed || ct.active) && node != n.cfg.Self
	ct.active = node == n.cfg.Self
	if !node.IsValid() || node == before {
		return
	}
	ct.node = node
	if ct.active {
		return // Announce takes what is ours
	}
	n.reanchor(contact, before, node)
	select {
	case n.due <- struct{}{}:
	default:
	}
}

// reanchor has what is registered at one anchor registered at another, as soon as
// may be. Its packets come from there as soon as that has taken it. The lock is
// held.
func (n *Node) reanchor(contact, before, node netip.Addr) {
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; o.registered() && !o.busy && !o.bound && o.anchor == before {
			o.settle(node)
			o.renew = n.deps.Now()
			n.syncQuietly(c)
		}
	}
}

// registerDeposed makes records of the connections that are served here where
// this replica was contact node and is it no more, and another is known: until now
// they needed no relay.
func (n *Node) registerDeposed() {
	n.mu.Lock()
	var all []netip.Addr
	for a, ct := range n.contacts {
		if ct.deposed && ct.node.IsValid() && ct.node != n.cfg.Self {
			ct.deposed = false
			all = append(all, a)
		}
	}
	n.mu.Unlock()
	for _, contact := range all {
		local := n.cfg.Local(contact)
		n.mu.Lock()
		if ct := n.contacts[contact]; ct != nil && !ct.active {
			n.registerLocal(local)
			n.reanchor(contact, n.cfg.Self, ct.node)
		}
		n.mu.Unlock()
	}
}
