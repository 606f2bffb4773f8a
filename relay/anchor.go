package relay

import (
	"net/netip"
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

// AnchorsOther is Anchors for the client of a connection, this one left aside.
func (n *Node) AnchorsOther(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.anchors(c.Contact.Addr(), c.Client.Addr(), c)
}

// anchors looks in the cache. The lock is held.
func (n *Node) anchors(contact, client netip.Addr, besides Conn) bool {
	now := n.deps.Now()
	for _, c := range n.cache.Of(contact, client) {
		if e, ok := n.cache.Lookup(now, c); ok && c != besides && e.Owner != n.cfg.Self {
			return true
		}
	}
	return false
}
