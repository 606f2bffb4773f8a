package relay

import (
	"net/netip"
	"time"
)

// counters are totals since the node was made.
type counters struct {
	accepted, refused                    uint64
	steered, unsteered, taken, abandoned uint64
}

// Counters are totals since the node was made, and how much is known now, by name.
func (n *Node) Counters() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return map[string]uint64{
		"accepted": n.counts.accepted,     // updates taken as anchor
		"refused":  n.counts.refused,      // updates refused as anchor
		"entries":  uint64(n.cache.Len()), // connections in the cache
		"owned":    uint64(len(n.owned)),  // connections of ours that others relay

		"steered":         n.counts.steered,           // new connections sent to another replica, as anchor
		"steer_refused":   n.counts.unsteered,         // of those that should have been, accepted here for want of room
		"steer_abandoned": n.counts.abandoned,         // SYNs whose replica failed before it answered: decided again
		"steered_here":    n.counts.taken,             // new connections that the anchor sent here
		"half_open":       uint64(n.cache.HalfOpen()), // as anchor: only the SYN is known
		"half_open_here":  uint64(n.halves),           // the same, sent here
	}
}

// Info describes one relayed connection for an operator.
type Info struct {
	Conn
	Owner    netip.Addr // who serves it
	Anchor   netip.Addr // who relays it
	Sequence uint16
	Expires  time.Time
	Route    string // what the data plane does with it here
}

// Connections are those of a contact address that are relayed by this replica or
// to it, in order.
func (n *Node) Connections(contact netip.Addr) []Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Info
	add := func(i Info) {
		i.Route = "none"
		if r, ok := n.routes[i.Conn]; ok {
			i.Route = r.String()
		}
		out = append(out, i)
	}
	for _, e := range n.cache.All() {
		if e.Contact.Addr() == contact && e.Owner != n.cfg.Self {
			add(Info{Conn: e.Conn, Owner: e.Owner, Anchor: n.cfg.Self, Sequence: e.Sequence, Expires: e.Expires})
		}
	}
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; o.live && o.anchor != n.cfg.Self {
			add(Info{Conn: c, Owner: n.cfg.Self, Anchor: o.anchor, Sequence: o.sequence, Expires: o.expires})
		}
	}
	return out
}
