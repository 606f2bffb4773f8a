package relay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Connections that are born at the replica that serves them: the anchor chooses
// their owner at the SYN, before there is anything to hand over. Both sides know
// the first number without a word, so the registration that a handoff needs costs
// nothing until the connection is there; then the owner renews it like any other,
// many in one call. Until then the anchor's entry is half-open, as the kernel's
// own record of a SYN: there are only so many, and each ends by itself.

const (
	// steeredSequence is the number of a registration that a SYN made.
	steeredSequence = 0
	// halfOpenFor is for how long a SYN may become a connection: the kernel gives up
	// its SYN-ACK after 63 s (tcp_synack_retries 5).
	halfOpenFor = 64 * time.Second
	// DefaultMaxHalfOpen bounds the half-open entries, at the anchor and at an owner.
	// A new connection that finds no room is not steered but accepted by the anchor.
	DefaultMaxHalfOpen = 16384
	// confirmDelay is how long an owner gathers new connections before it tells the
	// anchor, in one call, that they are no longer half-open.
	confirmDelay = 100 * time.Millisecond
	// straightDelay is the same for those that go straight from now on: until the anchor
	// has heard of it they can be handed over to it from where they were handed to, but
	// not seamlessly.
	straightDelay = 10 * time.Millisecond
)

// ErrHalfOpen: as many connections are about to come into being as may be.
var ErrHalfOpen = errors.New("too many half-open connections")

// Steer has a connection of which only the SYN is known served by owner. The error
// says why it is to be served here: ErrHalfOpen, ErrTableFull, ErrNoAnchor where
// this is not the contact node, ErrUnsupported, or the data plane's.
func (n *Node) Steer(c Conn, owner netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.steer(c, owner); err != nil {
		n.counts.unsteered++
		return &OpError{"steer", c, err}
	}
	n.counts.steered++
	return nil
}

func (n *Node) steer(c Conn, owner netip.Addr) error {
	now, ct := n.deps.Now(), n.contacts[c.Contact.Addr()]
	switch {
	case ct == nil:
		return ErrNoContact
	case !n.able:
		return ErrUnsupported
	case !ct.active || owner == n.cfg.Self || !slices.Contains(ct.Replicas, owner):
		return ErrNoAnchor
	case n.owned[c] != nil:
		return ErrExists
	case n.cache.HalfOpen() >= n.cfg.MaxHalfOpen:
		return ErrHalfOpen
	}
	e, known := n.cache.Lookup(now, c)
	if !known {
		if !n.cache.Steer(now, c, owner) {
			return ErrTableFull
		}
	} else if e.Owner == n.cfg.Self {
		return ErrExists
	}
	if err := n.sync(c); err != nil {
		if !known {
			n.cache.remove(c)
			n.syncQuietly(c)
		}
		return err
	}
	return nil
}

// Take makes this replica the owner of a connection whose SYN its anchor sent
// here. Then the SYN may be delivered.
func (n *Node) Take(c Conn, anchor netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[c.Contact.Addr()]
	if ct == nil || ct.active || !slices.Contains(ct.ContactNodes, anchor) {
		return &OpError{"take", c, ErrNoAnchor}
	}
	o := n.owned[c]
	if o == nil || !o.live || o.lost {
		if n.halves >= n.cfg.MaxHalfOpen {
			return &OpError{"take", c, ErrHalfOpen}
		}
		if o != nil {
			n.open(o)
			delete(n.owned, c)
			n.index(c)
		}
		var err error
		if o, err = n.ownOf(c); err != nil {
			return &OpError{"take", c, err}
		}
		now := n.deps.Now()
		o.live, o.sequence, o.anchor = true, steeredSequence, anchor
		o.halfOpen, o.untold, o.expires, o.renew = true, true, now.Add(halfOpenFor), now.Add(halfOpenFor)
		n.halves++
		if n.bound[c.Flow().ClientFlow()] {
			n.straight(c, o)
		}
	}
	if err := n.sync(c); err != nil {
		n.drop(c)
		return &OpError{"take", c, err}
	}
	n.counts.taken++
	return nil
}

// Accepted says that a connection came into being here; true if its anchor had
// chosen this replica for it.
func (n *Node) Accepted(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[c]
	if o == nil || !o.live || o.anchor == n.cfg.Self {
		return false
	}
	if o.halfOpen {
		n.open(o)
		o.born = true
		n.confirm(c, o, confirmDelay)
	}
	return true
}

// confirm has the anchor told of a connection soon, once, with all that it is to be told
// of by then. The lock is held.
func (n *Node) confirm(c Conn, o *own, delay time.Duration) {
	if !o.confirming {
		o.confirming = true
		n.confirming = append(n.confirming, c)
	}
	if at := n.deps.Now().Add(delay); n.confirmAt.IsZero() || at.Before(n.confirmAt) {
		n.confirmAt = at
		n.spawn(func() { n.confirmSoon(delay) })
	}
}

// open makes a half-open record an ordinary one. The lock is held.
func (n *Node) open(o *own) {
	if o.halfOpen {
		o.halfOpen = false
		n.halves--
	}
}

// confirmSoon tells the anchors of the connections that came into being in the
// meantime.
func (n *Node) confirmSoon(delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-n.ctx.Done():
		return
	case <-timer.C:
	}
	batches := make(map[batch][]Request)
	n.mu.Lock()
	for _, c := range n.confirming {
		o := n.owned[c]
		if o != nil {
			o.confirming = false
		}
		if o != nil && o.live && !o.busy && !n.deps.Now().Before(o.marked) {
			b := batch{contact: c.Contact.Addr(), anchor: o.anchor, late: o.straight, bound: o.bound}
			batches[b] = append(batches[b], Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime, Late: o.straight})
		}
	}
	n.confirming, n.confirmAt = nil, time.Time{}
	n.mu.Unlock()
	for b, all := range batches {
		for part := range slices.Chunk(all, maxBatch) {
			n.renew(b, part)
		}
	}
}

// remade registers anew a connection whose first number the anchor refused though
// it sent us the SYN: what used that number before is gone, for the client has
// answered us. The lock is held.
func (n *Node) remade(c Conn) {
	n.spawn(func() {
		if err := n.Bind(n.ctx, c); err != nil && !errors.Is(err, context.Canceled) {
			n.log.Warn("connection not registered", "connection", c.String(), "err", err)
		}
	})
}

// OwnerOf is the replica that connections of a client are relayed to from here;
// false if there are none.
func (n *Node) OwnerOf(contact, client netip.Addr) (netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cache.OwnerOf(contact, client)
}

// Failed says that a replica cannot be reached: those of its connections of which
// only the SYN is known are decided again when the client sends it again.
func (n *Node) Failed(contact, owner netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.cache.halfOpenOf(contact, owner) {
		n.cache.remove(c)
		n.syncQuietly(c)
		n.counts.abandoned++
	}
}

// Steer makes a half-open entry; false if there is no room. There must be none.
func (c *Cache) Steer(now time.Time, conn Conn, owner netip.Addr) bool {
	c.remove(conn) // one that has expired
	if c.full(nil, owner) {
		return false
	}
	c.insert(&Entry{Conn: conn, Owner: owner, Sequence: steeredSequence, Expires: now.Add(halfOpenFor), HalfOpen: true})
	return true
}

// HalfOpen is the number of entries that nobody but a SYN asked for.
func (c *Cache) HalfOpen() int { return c.halfOpen }

// OwnerOf is the owner of a client's newest entry.
func (c *Cache) OwnerOf(contact, client netip.Addr) (netip.Addr, bool) {
	cl, ok := c.clients[dataplane.Flow{Home: contact, Client: client}]
	return cl.owner, ok
}

func (c *Cache) halfOpenOf(contact, owner netip.Addr) []Conn {
	var all []Conn
	for conn, e := range c.entries {
		if e.HalfOpen && e.Owner == owner && conn.Contact.Addr() == contact {
			all = append(all, conn)
		}
	}
	slices.SortFunc(all, Conn.Compare)
	return all
}
