package relay

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// A connection may come in at an anchor that is ceding its client's binding after the
// list of them was made. The new anchor does not know it, and gets its packets as soon as
// the client has taken the update. So the old anchor looks once more when the new one
// says that the client is bound to it, and when it hears so itself, and has what it finds
// relayed like the others. Meanwhile the new anchor says nothing to what it does not know.

// lateWait is how long the old anchor, told by the new one, waits until it has heard the
// same by the way that it asked: what comes in until then is found as well.
const lateWait = time.Second

// begun are the connections of a client here, also those that are about to be.
func (n *Node) begun(contact, client netip.Addr) []Conn {
	pending := n.cfg.Pending(contact, client) // first: it may be given to the application meanwhile
	return append(n.localOf(contact, client), pending...)
}

// ownLate makes records of a client's connections here that began after Cede listed them,
// also if they have been closed since. The lock is held, and the client is being ceded.
func (n *Node) ownLate(p clientPair, local []Conn) {
	now, listed := n.deps.Now(), n.ceding[p].listed
	for _, c := range n.withClosed(p, local) {
		o := n.owned[c]
		if listed[c] || o != nil && (o.unlisted || o.lost || o.held || o.busy || o.pending) {
			continue
		}
		if e, ok := n.cache.Lookup(now, c); ok && e.Owner != n.cfg.Self {
			continue // handed off; its leaving is not known above yet
		}
		if s, ok := n.seams[c]; ok && (s.kind == diverting || s.kind == halted) {
			continue // the same, and elsewhere
		}
		if err := n.ownStraight(now, c); err != nil {
			n.log.Warn("new connection is not relayed when its client goes elsewhere", "connection", c.String(), "err", err)
			return
		}
		n.owned[c].unlisted, listed[c] = true, true
		n.syncQuietly(c)
	}
}

// ownStraight makes a record of a connection that goes straight from here. The lock is
// held.
func (n *Node) ownStraight(now time.Time, c Conn) error {
	o, err := n.ownOf(c)
	if err != nil {
		return err
	}
	if !o.live || o.anchor != n.cfg.Self {
		o.live, o.sequence, o.bound = true, firstSequence(), true
		o.settle(n.cfg.Self)
	}
	o.renew = now.Add(n.cfg.Lifetime)
	return nil
}

// unlisted are those that ownLate found and the new anchor does not know. The lock is held.
func (n *Node) unlisted(p clientPair) (all []Request) {
	for _, c := range n.ofClient(p) {
		if o := n.owned[c]; o != nil && o.unlisted && o.registered() {
			all = append(all, Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
		}
	}
	return all
}

// tellLate registers at the new anchor what it does not know, until this replica is not the
// client's anchor any more; false: it is still.
func (n *Node) tellLate(ctx context.Context, p clientPair, anchor netip.Addr) bool {
	local := n.begun(p.contact, p.client)
	n.mu.Lock()
	ceding := n.cedes(p, anchor)
	if ceding {
		n.ownLate(p, local)
	}
	all := n.unlisted(p)
	n.mu.Unlock()
	n.registerAt(p, anchor, all)
	if !ceding {
		return true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lateWait, ErrTimeout)
	defer cancel()
	if n.await(ctx, func() bool { return !n.cedes(p, anchor) }) != nil {
		return false
	}
	n.mu.Lock()
	all = n.unlisted(p)
	n.mu.Unlock()
	n.registerAt(p, anchor, all)
	return true
}

// cedes tells whether a client's binding is being ceded to a replica. The lock is held.
func (n *Node) cedes(p clientPair, to netip.Addr) bool {
	x, ok := n.ceding[p]
	return ok && x.to == to
}

// registerAt registers connections of a client at the replica that it is bound to.
func (n *Node) registerAt(p clientPair, anchor netip.Addr, all []Request) {
	for part := range slices.Chunk(all, maxBatch) {
		n.renew(batch{contact: p.contact, anchor: anchor, bound: true}, part)
	}
}
