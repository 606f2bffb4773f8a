package relay

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/vanycast/vanycast/peer"
)

// Adopt makes ready for a client that this replica is about to bind to itself,
// from the anchor that has it: the connections of others are relayed from the
// first packet on that comes here, and their owners take what we send on. It is
// refused if the client has no connection here that the anchor relays to us.
func (n *Node) Adopt(ctx context.Context, contact, client, from netip.Addr, all []Entry) error {
	if err := n.adopt(contact, client, from, all); err != nil {
		return err
	}
	n.tellOwners(ctx, contact, client, from, stageExpect, all)
	return nil
}

func (n *Node) adopt(contact, client, from netip.Addr, all []Entry) error {
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
		res := n.cache.Update(n.deps.Now(), Request{e.Conn, e.Owner, e.Sequence, n.cfg.Lifetime})
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

// Adopted: the client is bound here. The owners register here from now on.
func (n *Node) Adopted(ctx context.Context, contact, client, from netip.Addr, all []Entry) {
	n.tellOwners(ctx, contact, client, from, stageBound, all)
}

// Unadopt undoes Adopt.
func (n *Node) Unadopt(all []Entry) {
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

// tellOwners tells all who have connections in the list, but the old anchor.
func (n *Node) tellOwners(ctx context.Context, contact, client, from netip.Addr, s stage, all []Entry) {
	var owners []netip.Addr
	for _, e := range all {
		if e.Owner != from && e.Owner != n.cfg.Self && !slices.Contains(owners, e.Owner) {
			owners = append(owners, e.Owner)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, collectTimeout, ErrTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, owner := range owners {
		wg.Go(func() {
			if _, err := n.deps.Peers.Call(ctx, owner, peer.KindBound, marshalBound(clientPair{contact, client}, s)); err != nil {
				n.log.Info("owner not told of its new anchor", "contact", contact, "client", client, "owner", owner, "err", err)
			}
		})
	}
	wg.Wait()
}

// HandleBound answers another replica's call of kind peer.KindBound: it binds a
// client to itself, or has done so, some of whose connections are ours. It is not
// believed: its word that the client is bound to it comes with the answer to our
// next update. It fits peer.Handler.
func (n *Node) HandleBound(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
	p, s, err := parseBound(req)
	if err != nil {
		return nil, err
	}
	contact, client := p.contact, p.client
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[contact]
	if ct == nil || !slices.Contains(ct.Replicas, from) || from == n.cfg.Self {
		return nil, fmt.Errorf("relay: %v has no part in %v", from, contact)
	}
	var mine []Request
	for _, c := range n.ownedOf(contact) {
		o := n.owned[c]
		if c.Client.Addr() != client || !o.live || o.lost || n.bound[c.Flow().ClientFlow()] || len(mine) >= maxCarried {
			continue
		}
		if o.anchor != from {
			o.former = from // its packets are taken from now on
			n.syncQuietly(c)
		}
		mine = append(mine, Request{c, n.cfg.Self, o.sequence, n.cfg.Lifetime})
	}
	if s == stageBound && len(mine) > 0 && n.ctx.Err() == nil {
		n.work.Go(func() { n.renew(batch{contact: contact, anchor: from, bound: true}, mine) })
	}
	return nil, nil
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
