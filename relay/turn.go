package relay

import (
	"context"
	"net/netip"
	"slices"
)

// When a client's binding moves, what its connections' owners send through the old
// anchor names a care-of address that the client does not know any more as soon as it
// has taken the Binding Update: it would be dropped. So before the new anchor sends
// that, all of them *turn*: they send through the new anchor, which keeps what they
// send until the client has answered, and what it sends itself.
//
// The old anchor, which may serve connections too, turns last. So whatever was sent
// the old way comes before the update, on links of any length, unless one of them
// holds it up: it was sent before its sender's answer, the update is sent after a
// round trip to the old anchor more, and a way by way of somebody is no shorter than
// the straight one.

// Turn has all owners send through this replica, which keeps what they send until
// Turned or TurnBack. An owner that cannot be reached is left out.
func (n *Node) Turn(ctx context.Context, contact, client, from netip.Addr, all []Entry) {
	p := clientPair{contact, client}
	n.mu.Lock()
	if !n.keeps() { // it would be lost here instead of there
		n.mu.Unlock()
		return
	}
	n.adopting[p] = true
	n.syncClient(p)
	n.mu.Unlock()
	_ = n.tellAll(ctx, p, stageExpect, 0, ownersIn(all, n.cfg.Self, from))
	if slices.ContainsFunc(all, func(e Entry) bool { return e.Owner == from }) {
		_ = n.tellAll(ctx, p, stageExpect, 0, []netip.Addr{from})
	}
}

// Turned: the client has taken the update. What was kept goes to it.
func (n *Node) Turned(contact, client netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := (clientPair{contact, client}); n.adopting[p] {
		delete(n.adopting, p)
		n.syncClient(p)
	}
}

// TurnBack has all owners send as they did before Turn. Where it is not known whether
// the client has taken the update that is as good as anything.
func (n *Node) TurnBack(contact, client netip.Addr, all []Entry) {
	p := clientPair{contact, client}
	n.mu.Lock()
	turned := n.adopting[p]
	n.mu.Unlock()
	if turned {
		n.Turned(contact, client)
		n.spawn(func() { _ = n.tellAll(n.ctx, p, stageReturn, 0, ownersIn(all, n.cfg.Self)) })
	}
}

// turned has our connections of a client sent through another replica, which is about
// to bind the client, and lists them. The old anchor's own are not in the list.
func (n *Node) turned(p clientPair, through netip.Addr) (mine []Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.boundPair(p) {
		if x, ok := n.ceding[p]; ok && x.to == through {
			x.through = true
			n.ceding[p] = x
			n.syncClient(p)
		}
		return nil
	}
	for _, c := range n.ofClient(p) {
		o := n.owned[c]
		if o == nil || !o.registered() || len(mine) >= maxCarried {
			continue
		}
		if o.anchor != through {
			o.next = through
			n.syncQuietly(c)
		}
		mine = append(mine, Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
	}
	return mine
}

// back undoes turned, if it was towards this replica, or towards whomever if that is
// invalid. The lock is held.
func (n *Node) back(p clientPair, through netip.Addr) {
	if x, ok := n.ceding[p]; ok && x.through && (x.to == through || !through.IsValid()) {
		x.through = false
		n.ceding[p] = x
		n.syncClient(p)
	}
	for _, c := range n.ofClient(p) {
		if o := n.owned[c]; o != nil && o.next.IsValid() && (o.next == through || !through.IsValid()) {
			o.next = netip.Addr{}
			n.syncQuietly(c)
		}
	}
}

// follows notes that a connection is registered at an anchor. If that is another one
// than before, what the old one still sends counts for more than what an earlier
// handoff's donor may. The lock is held.
func (n *Node) follows(c Conn, o *own, anchor netip.Addr) {
	if s, ok := n.seams[c]; ok && s.kind == late && o.anchor.IsValid() && o.anchor != anchor {
		delete(n.seams, c)
	}
	o.settle(anchor)
}

// syncClient brings the routes of all connections of a client up to date. The lock is
// held.
func (n *Node) syncClient(p clientPair) {
	for _, c := range n.ofClient(p) {
		n.syncQuietly(c)
	}
}

// ownersIn are the owners of entries, each once, but these.
func ownersIn(all []Entry, but ...netip.Addr) (owners []netip.Addr) {
	for _, e := range all {
		if !slices.Contains(but, e.Owner) && !slices.Contains(owners, e.Owner) {
			owners = append(owners, e.Owner)
		}
	}
	return owners
}
