package relay

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// batch is what is to be told one anchor about one contact address.
type batch struct {
	contact, anchor netip.Addr
	late            bool
	bound           bool // the anchor is no contact node: nobody stands in for it
}

// sweep renews the leases of connections that are in use, gives those of others
// back, and lets lapse what nobody renewed here.
func (n *Node) sweep() {
	now := n.deps.Now()
	n.sweepSeams(now)
	n.mu.Lock()
	n.sweepStill()
	for _, e := range n.cache.Poll(now) {
		if e.Owner != n.cfg.Self && !e.Late && !e.HalfOpen {
			n.log.Info("relayed connection lapsed", "connection", e.Conn.String(), "owner", e.Owner)
		}
		n.syncQuietly(e.Conn)
	}
	var due []Conn
	for c, o := range n.owned {
		if o.halfOpen {
			if !now.Before(o.expires) {
				n.drop(c)
			}
			continue
		}
		n.resumeFlow(c)
		if o.busy || o.pending || o.held || !o.straight && !o.born && !o.unlisted && now.Before(o.renew) || now.Before(o.marked) {
			continue
		}
		due = append(due, c)
	}
	n.mu.Unlock()
	slices.SortFunc(due, Conn.Compare)
	batches := make(map[batch][]Request)
	for _, c := range due {
		used, served := n.used(c, now), n.cfg.InUse(c)
		n.mu.Lock()
		o := n.owned[c]
		if o == nil || o.busy || o.pending || o.held {
			n.mu.Unlock()
			continue
		}
		_, seamed := n.seams[c]
		if seamed && o.straight || used && !o.straight && !o.unlisted && now.Before(o.renew) {
			n.mu.Unlock()
			continue // what was under way when the client was bound may still come; or nothing is due
		}
		r := Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime}
		if !used || n.bound[c.Flow().ClientFlow()] || o.straight && !served {
			r.Lifetime = 0
		}
		o.straight = false // and if it is served here it is not bound any more
		b := batch{contact: c.Contact.Addr(), anchor: o.anchor, bound: o.bound}
		silent := o.lost || !o.live
		if r.Lifetime == 0 {
			n.drop(c)
		} else if o.live {
			n.syncQuietly(c) // a lease may have lapsed
		}
		n.mu.Unlock()
		if !silent {
			batches[b] = append(batches[b], r)
		}
	}
	n.vacant()
	n.mu.Lock()
	defer n.mu.Unlock()
	for b, all := range batches {
		n.spawn(func() {
			for part := range slices.Chunk(all, maxBatch) {
				n.renew(b, part)
			}
		})
	}
}

// used tells whether a connection is alive, or was so lately that late segments of
// it may come.
func (n *Node) used(c Conn, now time.Time) bool {
	if n.cfg.InUse(c) {
		return true
	}
	last, err := n.deps.Plane.LastUsed(c.Flow())
	if err != nil {
		n.log.Warn("last use of a relayed connection unknown", "connection", c.String(), "err", err)
		return true
	}
	return !last.IsZero() && now.Sub(last) < idleUse
}

// renew tells the anchor, or who may have become it.
func (n *Node) renew(b batch, all []Request) {
	nodes, err := n.nodes(Conn{Contact: netip.AddrPortFrom(b.contact, 0)}, b.anchor)
	if err != nil {
		return
	}
	if b.bound {
		nodes = append([]netip.Addr{b.anchor}, slices.DeleteFunc(nodes, func(a netip.Addr) bool { return a == b.anchor })...)
	}
	if b.anchor == n.cfg.Self && !slices.Contains(nodes, b.anchor) {
		nodes = append([]netip.Addr{b.anchor}, nodes...) // we are, for a client that is bound here
	}
	for _, node := range nodes {
		var results []Result
		if node == n.cfg.Self {
			for _, r := range all {
				results = append(results, n.decide(r))
			}
		} else if results, _, err = n.tell(n.ctx, node, all); err != nil {
			if b.bound && node == b.anchor {
				n.missed(node, all)
				return
			}
			continue
		}
		var left []Request
		for i, r := range all {
			if results[i].Status == mipv6.StatusNotHomeAgent {
				left = append(left, r)
				if b.bound && node == b.anchor && r.Lifetime > 0 {
					n.orphan(r.pair(), node) // it has forgotten the client
				}
			} else if r.Lifetime > 0 {
				n.renewed(node, r, results[i])
			}
		}
		if all = left; len(all) == 0 {
			return
		}
	}
	n.log.Warn("relayed connections not renewed: no contact node", "contact", b.contact, "connections", len(all), "err", errors.Join(ErrNoAnchor, err))
}

// renewed notes the outcome for one connection.
func (n *Node) renewed(node netip.Addr, r Request, res Result) {
	served := n.cfg.InUse(r.Conn)
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[r.Conn]
	if o == nil || o.sequence != r.Sequence || o.busy || n.deps.Now().Before(o.marked) {
		return // it went on meanwhile
	}
	untold := o.untold
	o.untold = false
	if r.Late {
		return // whatever it says, the client sends here
	}
	if untold && res.Status == mipv6.StatusSequenceOutOfWindow {
		n.remade(r.Conn)
		return
	}
	switch res.Status {
	case mipv6.StatusAccepted:
		n.follows(r.Conn, o, node)
		o.unlisted = false
		o.granted(n.deps.Now(), res)
		if s, ok := n.seams[r.Conn]; ok && s.kind == through {
			s.kind, s.until = late, n.deps.Now().Add(seamLinger)
			n.seams[r.Conn] = s
		}
	case mipv6.StatusSequenceOutOfWindow, mipv6.StatusAdministrativelyProhibited:
		if !served { // it was handed off as one of a client that is bound
			n.drop(r.Conn)
			return
		}
		n.log.Warn("connection is relayed to another replica", "connection", r.Conn.String(), "anchor", node, "last", res.Last)
		o.lost = true
		if n.seams[r.Conn].kind == through {
			delete(n.seams, r.Conn)
		}
		o.renew = n.deps.Now().Add(n.cfg.Lifetime)
	default:
		return // again at the next sweep
	}
	n.syncQuietly(r.Conn)
}
