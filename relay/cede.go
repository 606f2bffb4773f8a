package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// ceding is a client whose binding another replica is taking over: until it is
// known whether it did, nobody's connection changes its owner here.
type ceding struct {
	to      netip.Addr
	through bool          // what is served here is sent through the other already
	listed  map[Conn]bool // what the other knows of
}

// Cede lists a client's connections for the replica that is about to bind the
// client to itself: those that this replica relays, and its own, which stay and
// will be relayed to it. From now on nobody else can become owner of one, until
// Ceded or Keep. What the new anchor sends on is taken at once.
func (n *Node) Cede(contact, client, to netip.Addr) ([]Entry, error) {
	local := n.localOf(contact, client)
	n.mu.Lock()
	defer n.mu.Unlock()
	now, p := n.deps.Now(), clientPair{contact, client}
	switch _, busy := n.ceding[p]; {
	case n.contacts[contact] == nil:
		return nil, ErrNoContact
	case busy:
		return nil, errors.New("the client's binding is being handed over already")
	}
	var all []Entry
	for _, c := range n.cache.Of(contact, client) {
		if e, ok := n.cache.Lookup(now, c); ok && e.Owner != n.cfg.Self {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil, ErrNotRelayed
	}
	for _, c := range n.withClosed(p, local) {
		if slices.ContainsFunc(all, func(e Entry) bool { return e.Conn == c }) {
			continue // handed off; its leaving is not known above yet
		}
		if err := n.ownStraight(now, c); err != nil {
			return nil, err
		}
		all = append(all, Entry{Conn: c, Owner: n.cfg.Self, Sequence: n.owned[c].sequence, Expires: now.Add(n.cfg.Lifetime)})
	}
	if len(all) > maxCarried {
		return nil, fmt.Errorf("%w: the client has %d, at most %d go along with its binding", ErrTableFull, len(all), maxCarried)
	}
	n.ceding[p] = ceding{to: to, listed: make(map[Conn]bool, len(all))}
	for _, e := range all {
		n.ceding[p].listed[e.Conn] = true
		n.syncQuietly(e.Conn)
	}
	sortEntries(all)
	return all, nil
}

// Ceded: the client is bound to the other replica, which has the list. Late packets
// are still sent on for a while, and what is served here is relayed by the other, also
// what has begun since.
func (n *Node) Ceded(contact, client netip.Addr) {
	local := n.begun(contact, client)
	n.mu.Lock()
	defer n.mu.Unlock()
	now, p := n.deps.Now(), clientPair{contact, client}
	x, ok := n.ceding[p]
	if !ok {
		return
	}
	n.ownLate(p, local) // while the cache says what is elsewhere
	delete(n.ceding, p)
	n.stir()
	n.free(p, n.owners(p)) // whom the new anchor tells
	for _, c := range n.cache.Of(contact, client) {
		// One that is on its way here already, by the new anchor, is not late.
		if e, ok := n.cache.Lookup(now, c); ok && e.Owner != n.cfg.Self && !n.comes(c) {
			n.seams[c] = seam{kind: diverting, peer: e.Owner, via: dataplane.Tunnelled, until: now.Add(seamLinger)}
		}
		n.cache.remove(c)
		n.syncQuietly(c)
	}
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; c.Client.Addr() == client && o.registered() && o.anchor == n.cfg.Self {
			o.settle(x.to)
			o.granted(now, Result{Lifetime: n.cfg.Lifetime, Bound: true})
			n.syncQuietly(c)
		}
	}
	if all := n.unlisted(p); len(all) > 0 {
		n.spawn(func() { n.registerAt(p, x.to, all) })
	}
}

// Keep ends what Still and Cede began: the client is bound to this replica as before.
func (n *Node) Keep(contact, client netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := clientPair{contact, client}
	n.free(p, nil)
	if _, ok := n.ceding[p]; !ok {
		return
	}
	delete(n.ceding, p)
	n.stir()
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; c.Client.Addr() == client {
			if o.closed && o.anchor == n.cfg.Self {
				o.renew, o.unlisted = o.over, false // nobody else knows of it
			} else if o.live && !o.busy && !o.held && !n.deps.Now().Before(o.marked) {
				n.cache.remove(c)
				delete(n.owned, c)
			}
			n.syncQuietly(c)
		}
	}
}

// comes tells whether a connection is being handed off to this replica, or has been.
// The lock is held.
func (n *Node) comes(c Conn) bool {
	if o := n.owned[c]; o != nil && (o.live || o.busy) {
		return true
	}
	s, ok := n.seams[c]
	return ok && (s.kind == expecting || s.kind == coming || s.kind == through)
}

// localOf are the live connections of a client here.
func (n *Node) localOf(contact, client netip.Addr) []Conn {
	return slices.DeleteFunc(n.cfg.Local(contact), func(c Conn) bool { return c.Client.Addr() != client })
}
