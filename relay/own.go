package relay

import (
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// own is what an owner knows of one of its relayed connections.
type own struct {
	sequence   uint16     // the last number used
	anchor     netip.Addr // where it is registered, ourselves at the contact node
	former     netip.Addr // the anchor before, whose late packets are still taken
	next       netip.Addr // who is about to be the anchor, and sends on already what we say
	bound      bool       // the anchor is the one that the client is bound to
	alone      bool       // it was handed off here alone: its client may have others elsewhere
	away       bool       // the client's binding here is about to end: another must be the anchor
	live       bool       // its packets come here, or may at any moment
	held       bool       // nothing goes in or out
	lost       bool       // another replica has registered it: we are silent
	flow       bool       // the home agent sends its packets here
	busy       bool       // an update is under way
	halfOpen   bool       // only its SYN is known
	untold     bool       // its anchor chose us, and has not heard that we have it
	straight   bool       // its client was bound here: the anchor has what was under way then
	closed     bool       // its application has closed it
	pending    bool       // a Start is under way: the donor's number counts, if it lives
	unlisted   bool       // the replica that its client is bound to does not know it yet
	born       bool       // it came into being here, and its end is told soon: there may be many
	confirming bool       // its anchor is told soon
	marked     time.Time  // until then the number is the acceptor's to choose
	missed     int        // times that a bound anchor could not be reached, one after the other
	renew      time.Time
	over       time.Time // when one that is closed is forgotten where it goes straight
	expires    time.Time // of the registration, zero if there is none
}

// registered reports whether the connection is ours as far as we know, under the
// record's number.
func (o *own) registered() bool { return o.live && !o.lost && !o.pending }

// route is what the data plane is to do with a connection: false for nothing of
// its own. The lock is held.
func (n *Node) route(c Conn) (dataplane.Route, bool) {
	plain, some := n.plain(c)
	s, ok := n.seams[c]
	switch {
	case !ok, n.contacts[c.Contact.Addr()] == nil, s.kind == moved && !some:
		return plain, some
	case s.late() && some && plain.Kind == dataplane.RelayTo:
		return plain, some // an anchor's own entry is newer than what is left of a handoff
	}
	return n.seamed(s, c, plain, some), true
}

// late tells a donor's seam after the handoff.
func (s seam) late() bool { return s.kind == diverting && !s.until.IsZero() }

// plain is route without a handoff.
func (n *Node) plain(c Conn) (dataplane.Route, bool) {
	o := n.owned[c]
	ct := n.contacts[c.Contact.Addr()]
	if ct == nil || ct.Early {
		return dataplane.Route{}, false
	}
	if o != nil {
		switch {
		case o.held:
			return dataplane.Route{Kind: dataplane.Held, From: n.former(o)}, true
		case o.live && n.bound[c.Flow().ClientFlow()]:
			// It goes the client's way; another anchor may be before it, or after.
			from := o.anchor
			if x, ok := n.ceding[c.pair()]; ok {
				from = x.to
				if x.through {
					return dataplane.Route{Kind: dataplane.Relayed, Peer: x.to}, true
				}
			}
			if !from.IsValid() || from == n.cfg.Self {
				return dataplane.Route{Kind: dataplane.Optimised}, n.guarded[c.pair()]
			}
			if n.adopting[c.pair()] {
				return dataplane.Route{Kind: dataplane.Relayed, Peer: from, Pause: true}, true
			}
			return dataplane.Route{Kind: dataplane.Optimised, From: from}, true
		case o.lost:
			return dataplane.Route{Kind: dataplane.Held, From: n.former(o)}, true
		case o.live && o.anchor != n.cfg.Self:
			if ct.Direct && !o.expires.IsZero() && !n.deps.Now().Before(o.expires) {
				// The lease is over: another may have the connection. Through an
				// anchor we would not be heard; this way we would.
				return dataplane.Route{Kind: dataplane.Held, From: n.former(o)}, true
			}
			kind := dataplane.Relayed
			switch {
			case ct.Direct:
				kind = dataplane.Direct
			case o.flow: // both ways, and what still comes from the anchor
				kind = dataplane.Tunnelled
			}
			if o.next.IsValid() {
				return dataplane.Route{Kind: kind, Peer: o.next, From: o.anchor}, true
			}
			pause := kind == dataplane.Relayed && n.adopting[c.pair()]
			return dataplane.Route{Kind: kind, Peer: o.anchor, From: n.former(o), Pause: pause}, true
		case o.live:
			return dataplane.Route{}, false
		}
	}
	if e, ok := n.cache.Lookup(n.deps.Now(), c); ok && e.Owner != n.cfg.Self {
		return dataplane.Route{Kind: dataplane.RelayTo, Peer: e.Owner, Via: n.via(c), Pause: n.adopting[c.pair()]}, true
	}
	return dataplane.Route{}, false
}

// former is the anchor before, if it was another replica.
func (n *Node) former(o *own) netip.Addr {
	if o.former == n.cfg.Self || o.former == o.anchor {
		return netip.Addr{}
	}
	return o.former
}

func (n *Node) via(c Conn) dataplane.RouteKind {
	if n.bound[c.Flow().ClientFlow()] {
		return dataplane.Optimised
	}
	return dataplane.Tunnelled
}

// unknownRoute stands for what the data plane has after it failed: no route that is
// wanted equals it.
var unknownRoute = dataplane.Route{Kind: ^dataplane.RouteKind(0)}

// sync makes the route of a connection what its state says. The lock is held.
func (n *Node) sync(c Conn) error {
	n.tellFlow(c)
	want, some := n.route(c)
	have, had := n.routes[c]
	switch {
	case some && (!had || want != have):
		if err := n.deps.Plane.SetRoute(c.Flow(), want); err != nil {
			n.routes[c] = unknownRoute // the next sync tries again
			n.index(c)
			return err
		}
		n.routes[c] = want
		n.index(c)
	case !some && had:
		if err := n.deps.Plane.RemoveRoute(c.Flow()); err != nil {
			return err
		}
		delete(n.routes, c)
		n.index(c)
	}
	return nil
}

// syncQuietly is sync where nobody waits for the outcome.
func (n *Node) syncQuietly(c Conn) {
	if err := n.sync(c); err != nil {
		n.log.Error("route of a relayed connection not set", "connection", c.String(), "err", err)
	}
}

// settle notes who the anchor is; the one before may still send late packets.
func (o *own) settle(anchor netip.Addr) {
	o.next = netip.Addr{}
	if o.anchor != anchor {
		o.anchor, o.former, o.bound = anchor, o.anchor, false
	}
}

// granted notes a registration.
func (o *own) granted(now time.Time, res Result) {
	o.expires, o.renew, o.bound, o.missed = now.Add(res.Lifetime), now.Add(res.Lifetime/3), res.Bound, 0
	if o.bound && res.Lifetime/3 > boundCheck {
		o.renew = now.Add(boundCheck)
	}
}

// ownOf finds or makes the record of a connection. The lock is held.
func (n *Node) ownOf(c Conn) (*own, error) {
	if n.contacts[c.Contact.Addr()] == nil {
		return nil, ErrNoContact
	}
	if !n.able {
		return nil, ErrUnsupported
	}
	o := n.owned[c]
	if o == nil {
		if len(n.owned) >= n.cfg.MaxEntries {
			return nil, ErrTableFull
		}
		o = new(own)
		n.owned[c] = o
		n.index(c)
	}
	return o, nil
}

// drop forgets a record; what the anchor's half says of the connection counts
// again. The lock is held.
func (n *Node) drop(c Conn) {
	if o := n.owned[c]; o != nil {
		n.open(o)
	}
	delete(n.owned, c)
	n.index(c)
	n.syncQuietly(c)
}
