package relay

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Adopt makes ready for a client that this replica is about to bind to itself,
// from the anchor that has it: the connections of others are relayed from the
// first packet on that comes here. It is refused if the client has no connection
// here that the anchor relays to us.
func (n *Node) Adopt(contact, client, from netip.Addr, all []Entry) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[contact]
	switch {
	case ct == nil:
		return ErrNoContact
	case !n.able:
		return ErrUnsupported
	case !slices.Contains(ct.Replicas, from) || from == n.cfg.Self:
		return fmt.Errorf("relay: %v has no part in %v", from, contact)
	case len(all) > maxCarried:
		return fmt.Errorf("%w: %d connections of one client", ErrTableFull, len(all))
	case !slices.ContainsFunc(all, func(e Entry) bool { o := n.owned[e.Conn]; return o != nil && o.live && o.anchor == from }):
		return fmt.Errorf("relay: no connection of %v that %v relays is served here", client, from)
	}
	for _, e := range all {
		if e.Contact.Addr() != contact || e.Client.Addr() != client || !slices.Contains(ct.Replicas, e.Owner) {
			return fmt.Errorf("relay: %v of %v is not a connection of %v", e.Conn, e.Owner, client)
		}
	}
	for _, e := range all {
		if o := n.owned[e.Conn]; e.Owner == n.cfg.Self || o != nil && o.live && !o.lost {
			continue
		}
		n.cache.remove(e.Conn) // what was known here is of another time
		res := n.cache.Update(n.deps.Now(), Request{Conn: e.Conn, Owner: e.Owner, Sequence: e.Sequence, Lifetime: n.cfg.Lifetime})
		if err := n.refusal(n.cfg.Self, res); err != nil {
			n.unadopt(all)
			return err
		}
		if err := n.sync(e.Conn); err != nil {
			n.unadopt(all)
			return err
		}
	}
	return nil
}

// Adopted: the client is bound here. What was kept goes to it, the owners register
// here from now on, and its connections may be handed off again. The error says that the
// old anchor could not be asked for those that have begun there since it made the list.
func (n *Node) Adopted(ctx context.Context, contact, client, from netip.Addr, all []Entry) error {
	p := clientPair{contact, client}
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, ErrTimeout)
		defer cancel()
		err = n.tellOwner(ctx, p, stageBound, 0, from)
	})
	_ = n.tellAll(ctx, p, stageBound, 0, ownersIn(all, n.cfg.Self, from))
	wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	// Not before: what the owners are told next comes after that.
	if n.still[p].anchor == from {
		delete(n.still, p)
		n.stir()
	}
	return err
}

// Unadopt undoes Adopt, and Turn.
func (n *Node) Unadopt(contact, client netip.Addr, all []Entry) {
	n.TurnBack(contact, client, all)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unadopt(all)
}

func (n *Node) unadopt(all []Entry) {
	for _, e := range all {
		if has, ok := n.cache.Lookup(n.deps.Now(), e.Conn); ok && has.Owner == e.Owner && e.Owner != n.cfg.Self {
			n.cache.remove(e.Conn)
			n.syncQuietly(e.Conn)
		}
	}
}

// HandleBound answers another replica's call of kind peer.KindBound: it binds a
// client to itself, or has done so, some of whose connections are ours. We send
// through it from then on; that the client is bound to it is not believed until it
// answers our next update. It fits peer.Handler.
func (n *Node) HandleBound(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	p, s, round, err := parseBound(req)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	ct := n.contacts[p.contact]
	allowed := ct != nil && slices.Contains(ct.Replicas, from) && from != n.cfg.Self
	n.mu.Unlock()
	if !allowed {
		return nil, fmt.Errorf("relay: %v has no part in %v", from, p.contact)
	}
	switch s {
	case stageStill:
		return nil, n.holdStill(ctx, p, from, round)
	case stageFree:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.release(p, from, round)
		return nil, nil
	case stageReturn:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.back(p, from)
		return nil, nil
	}
	mine := n.turned(p, from)
	if s == stageBound {
		n.registerAt(p, from, mine)
		if n.tellLate(ctx, p, from) {
			n.settled(p, from)
		}
	}
	return nil, nil
}

// settled ends that a client is held still, if all that we have of it is registered
// at its new anchor.
func (n *Node) settled(p clientPair, anchor netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.ofClient(p) {
		if o := n.owned[c]; o != nil && o.registered() && o.anchor != anchor {
			return // it ends by itself
		}
	}
	if n.still[p].anchor != anchor { // it may have the client move on already
		delete(n.still, p)
		n.stir()
	}
}

// ofClient are the connections of one client that have a record or a route, in
// order. The lock is held.
func (n *Node) ofClient(p clientPair) []Conn {
	return slices.SortedFunc(maps.Keys(n.clients[p.flow()]), Conn.Compare)
}

// missed: the anchor of a bound client could not be reached.
func (n *Node) missed(anchor netip.Addr, all []Request) {
	orphans := make(map[clientPair]bool)
	n.mu.Lock()
	for _, r := range all {
		o := n.owned[r.Conn]
		if o == nil || o.anchor != anchor || !o.bound || !o.live {
			continue
		}
		if o.missed++; o.missed >= maxMissed {
			orphans[r.pair()] = true
		}
	}
	n.mu.Unlock()
	for p := range orphans {
		n.orphan(p, anchor)
	}
}

func (n *Node) orphan(p clientPair, anchor netip.Addr) {
	n.log.Warn("the replica that a client was bound to relays no more", "contact", p.contact, "client", p.client, "anchor", anchor)
	n.cfg.Orphaned(p.contact, p.client)
}
