package relay

// Flows has the home agent send a connection's packets straight to this replica
// (package flows). It is called with the Node's lock held and must not wait.
type Flows interface {
	// Want asks for that; sequence is that of the connection's registration.
	Want(c Conn, sequence uint16)
	// Unwant ends it, also what is not yet.
	Unwant(c Conn)
}

// SetFlow says that the home agent sends a connection's packets here, or may not do
// so any more. The anchor's registration stands in either case.
func (n *Node) SetFlow(c Conn, bound bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[c]
	if o == nil || o.flow == bound || bound && !n.flowWanted(c) {
		return
	}
	o.flow = bound
	n.syncQuietly(c)
}

// flowWanted tells whether a connection deserves a flow binding: it is ours beyond
// doubt, and its packets would come by the contact node. The lock is held.
func (n *Node) flowWanted(c Conn) bool {
	o, ct := n.owned[c], n.contacts[c.Contact.Addr()]
	if o == nil || ct == nil || !ct.Flows || n.cfg.Flows == nil {
		return false
	}
	now := n.deps.Now()
	return o.registered() && !o.held && !o.busy && !n.bound[c.Flow().ClientFlow()] &&
		!ct.active && o.anchor == ct.node && o.anchor != n.cfg.Self &&
		now.Before(o.expires) && !now.Before(o.marked)
}

// tellFlow tells Flows when that has changed. The lock is held.
func (n *Node) tellFlow(c Conn) {
	switch wanted := n.flowWanted(c); {
	case wanted:
		n.flowing[c] = true
		n.cfg.Flows.Want(c, n.owned[c].sequence)
	case n.flowing[c]:
		delete(n.flowing, c)
		n.cfg.Flows.Unwant(c)
		if o := n.owned[c]; o != nil {
			o.flow = false
		}
	}
}

// resumeFlow sees to what changes by time alone. The lock is held.
func (n *Node) resumeFlow(c Conn) {
	if n.flowing[c] != n.flowWanted(c) {
		n.syncQuietly(c)
	}
}
