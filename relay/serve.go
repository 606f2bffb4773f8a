package relay

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/mipv6"
)

// HandleUpdates answers another replica's call of kind peer.KindRelay: it wants
// connections relayed to itself. It fits peer.Handler.
func (n *Node) HandleUpdates(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
	contact, all, err := parseUpdates(req, from)
	if err == nil && len(all) > maxBatch {
		err = fmt.Errorf("relay: decode updates: %w: %d in one call", ErrMalformed, len(all))
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	ct := n.contacts[contact]
	allowed := ct != nil && slices.Contains(ct.Replicas, from) && from != n.cfg.Self
	n.mu.Unlock()
	results := make([]Result, len(all))
	for i, r := range all {
		if allowed {
			results[i] = n.decide(r)
		} else {
			results[i].Status = mipv6.StatusAdministrativelyProhibited
		}
	}
	return marshalResults(results), nil
}

// decide is the anchor's word on an update, a replica's or our own.
func (n *Node) decide(r Request) Result {
	// A connection that is served here and that nobody wanted to hand off is not
	// for the taking.
	here := r.Owner != n.cfg.Self && n.cfg.InUse(r.Conn)
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.deps.Now()
	ct := n.contacts[r.Contact.Addr()]
	if ct == nil || !n.able || !ct.active && !n.bound[r.Flow().ClientFlow()] {
		return Result{Status: mipv6.StatusNotHomeAgent}
	}
	e, known := n.cache.Lookup(now, r.Conn)
	o := n.owned[r.Conn]
	if r.Owner != n.cfg.Self {
		ours := o != nil && o.live && !o.pending || here && o == nil
		if ours && (!known || e.Owner == n.cfg.Self) && (o == nil || !now.Before(o.marked)) {
			n.counts.refused++
			return Result{Status: mipv6.StatusAdministrativelyProhibited}
		}
	}
	if r.Late && n.bound[r.Flow().ClientFlow()] {
		r.Lifetime = 0 // it has come here since
	}
	if r.Lifetime == 0 && !known {
		return Result{Last: r.Sequence} // given back, and somebody's already
	}
	if _, yielding := n.ceding[r.pair()]; yielding && (!known || e.Owner != r.Owner) {
		n.counts.refused++
		return Result{Status: mipv6.StatusReasonUnspecified} // its anchor is changing
	}
	res := n.cache.Update(now, r)
	if res.Status != mipv6.StatusAccepted {
		n.counts.refused++
		return res
	}
	if known && e.Owner != r.Owner {
		n.handedOn(r.Conn, e.Owner)
	}
	n.endLate(r.Conn)
	live := o != nil && o.live
	if r.Owner != n.cfg.Self && o != nil {
		o.live = false // the acceptor's from now on
	}
	if err := n.sync(r.Conn); err != nil {
		n.log.Error("connection not relayed", "connection", r.Conn.String(), "to", r.Owner, "err", err)
		n.cache.restore(e, known, r.Conn)
		if o != nil {
			o.live = live
		}
		n.syncQuietly(r.Conn)
		return Result{Status: mipv6.StatusReasonUnspecified}
	}
	n.counts.accepted++
	res.Bound = n.bound[r.Flow().ClientFlow()]
	return res
}

// HandleAnchor answers a call of kind peer.KindAnchor: a replica is about to be
// contact node, or has become it, and wants to know which connections of ours it
// has to relay. It fits peer.Handler.
func (n *Node) HandleAnchor(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
	contact, p, epoch, err := parseAnchor(req)
	if err != nil {
		return nil, err
	}
	local := n.cfg.Local(contact)
	n.mu.Lock()
	ct := n.contacts[contact]
	allowed := ct != nil && from != n.cfg.Self
	if allowed && !slices.Contains(ct.ContactNodes, from) {
		allowed = p == phaseCollect && slices.Contains(ct.Replicas, from)
		if allowed { // it has been started, and relayed for us before
			mine := n.relayedBy(contact, from)
			n.mu.Unlock()
			return marshalUpdates(contact, mine), nil
		}
	}
	if !allowed {
		n.mu.Unlock()
		return nil, fmt.Errorf("relay: %v may not be contact node of %v", from, contact)
	}
	if ct.active {
		n.registerLocal(local)
	}
	if p == phaseAnnounce {
		n.mu.Unlock()
		if !n.cfg.Moved(contact, from, epoch) {
			return nil, fmt.Errorf("relay: %v is not contact node of %v any more: number %d is old", from, contact, epoch)
		}
		n.log.Info("contact node found", "contact", contact, "node", from, "epoch", epoch)
		n.SetContactNode(contact, from)
		n.mu.Lock()
	}
	mine := n.follow(contact, from, p)
	if p == phaseCollect && len(mine) < maxCount {
		mine = append(mine, n.relayedBy(contact, from)...)
		mine = mine[:min(len(mine), maxCount)]
	}
	n.mu.Unlock()
	return marshalUpdates(contact, mine), nil
}

// registerLocal makes records of the contact node's own connections, which need
// no relay until it is contact node no more. The lock is held.
func (n *Node) registerLocal(local []Conn) {
	now := n.deps.Now()
	for _, c := range local {
		if n.bound[c.Flow().ClientFlow()] {
			continue
		}
		if o := n.owned[c]; o != nil && (o.live || o.lost) {
			continue
		}
		if e, ok := n.cache.Lookup(now, c); ok && e.Owner != n.cfg.Self {
			continue // handed off; its leaving is not known above yet
		}
		o, err := n.ownOf(c)
		if err != nil {
			n.log.Error("connection cannot be relayed", "connection", c.String(), "err", err)
			return
		}
		o.live, o.sequence, o.anchor = true, firstSequence(), n.cfg.Self
	}
}

// relayedBy lists the connections of ours that a replica relays, or did, because
// their client was bound to it. The lock is held.
func (n *Node) relayedBy(contact, anchor netip.Addr) (mine []Request) {
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; o.live && !o.lost && o.bound && o.anchor == anchor && len(mine) < maxCount {
			mine = append(mine, Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
		}
	}
	return mine
}

// follow makes the connections of ours ready for a new anchor, and lists them. The
// lock is held.
func (n *Node) follow(contact, anchor netip.Addr, p phase) []Request {
	now := n.deps.Now()
	var mine []Request
	for _, c := range n.ownedOf(contact) {
		o := n.owned[c]
		if !o.live || o.lost || o.bound || n.bound[c.Flow().ClientFlow()] || len(mine) >= maxCount {
			continue
		}
		if p == phaseAnnounce {
			o.settle(anchor)
			o.granted(now, Result{Lifetime: n.cfg.Lifetime})
		} else if o.anchor != anchor {
			o.former = anchor
		}
		n.syncQuietly(c)
		mine = append(mine, Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
	}
	return mine
}

// ownedOf are the connections of a contact address that have a record, in order.
// The lock is held.
func (n *Node) ownedOf(contact netip.Addr) []Conn {
	var all []Conn
	for c := range n.owned {
		if c.Contact.Addr() == contact {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, Conn.Compare)
	return all
}
