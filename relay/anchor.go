package relay

import (
	"net/netip"
	"slices"
)

// What an anchor is besides the contact node: the replica that a client is bound
// to. Of a client with several connections each is moved by itself; those that
// are served elsewhere are relayed by the replica that gets its packets, until
// none is left.

// Anchors reports whether this replica relays connections of a client to others.
func (n *Node) Anchors(contact, client netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.anchors(contact, client, Conn{})
}

// AnchorsOther reports whether this replica relays, or has by relaying, another
// connection of the client of this one. One that was steered here, and closed, is
// none: as one that came here straight.
func (n *Node) AnchorsOther(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.anchors(c.Contact.Addr(), c.Client.Addr(), c) {
		return true
	}
	for other := range n.clients[c.pair().flow()] { // one that has come just now
		if o := n.owned[other]; other != c && o != nil && o.live && !o.lost && !(o.closed && o.straight) {
			return true
		}
	}
	return false
}

func (n *Node) boundPair(p clientPair) bool {
	return n.bound[p.flow()]
}

// anchors looks in the cache. The lock is held.
func (n *Node) anchors(contact, client netip.Addr, besides Conn) bool {
	now := n.deps.Now()
	for c := range n.cache.conns[clientPair{contact, client}] {
		if e, ok := n.cache.Lookup(now, c); ok && c != besides && e.Owner != n.cfg.Self {
			return true
		}
	}
	return false
}

// vacant finds the clients that are bound here though only others have their
// connections: the binding had better be one of theirs.
func (n *Node) vacant() {
	n.mu.Lock()
	owners := make(map[clientPair]netip.Addr)
	for p := range n.cache.conns {
		if _, busy := n.ceding[p]; busy || !n.boundPair(p) {
			continue
		}
		if owner := most(n.owners(p)); owner.IsValid() {
			owners[p] = owner
		}
	}
	n.mu.Unlock()
	for p, owner := range owners {
		if len(n.localOf(p.contact, p.client)) == 0 {
			n.cfg.Vacant(p.contact, p.client, owner)
		}
	}
}

// most is the address that is in a list most often, the lowest of several.
func most(all []netip.Addr) (best netip.Addr) {
	count := make(map[netip.Addr]int)
	for _, a := range all {
		count[a]++
		if c := count[a] - count[best]; c > 0 || c == 0 && a.Less(best) {
			best = a
		}
	}
	return best
}

// Owner is the replica that most of a client's connections are relayed to from
// here, invalid if none is.
func (n *Node) Owner(contact, client netip.Addr) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return most(n.owners(clientPair{contact, client}))
}

// Owns reports whether one of a client's connections is relayed to a replica from
// here.
func (n *Node) Owns(contact, client, owner netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.owners(clientPair{contact, client}), owner)
}

// owners has one address for each connection. The lock is held.
func (n *Node) owners(p clientPair) (owners []netip.Addr) {
	now := n.deps.Now()
	for c := range n.cache.conns[p] {
		if e, ok := n.cache.Lookup(now, c); ok && e.Owner != n.cfg.Self {
			owners = append(owners, e.Owner)
		}
	}
	return owners
}

// Alone reports whether a connection was handed off here by relaying: its client may
// have others elsewhere, which a binding to us would cut off.
func (n *Node) Alone(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[c]
	return o != nil && o.live && (o.bound || o.alone) && o.anchor != n.cfg.Self
}
