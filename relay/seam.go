package relay

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// A seam is what a handoff does with the packets of a connection while it moves,
// and shortly after, in place of what else is known of the connection: at the
// acceptor they are kept until its endpoint lives, at the donor they are sent to
// the acceptor. So none is lost though the client does not know yet.
type seam struct {
	kind  seamKind
	peer  netip.Addr          // the other side of the handoff
	via   dataplane.RouteKind // of a donor: how its own packets went
	until time.Time           // when it ends by itself; zero: when the handoff says so
}

type seamKind uint8

const (
	expecting seamKind = iota // acceptor: the client may come
	coming                    // acceptor: the donor has frozen it
	diverting                 // donor: it is on its way, or was
	late                      // acceptor: it is here, and the donor still sends on what it gets
)

const (
	// expectFor is for how long packets are kept for a client that may come: longer
	// than an offer holds.
	expectFor = 30 * time.Second
	// seamLinger is how long after a handoff late packets are expected: those that
	// were under way when the client, or the anchor, learnt of it.
	seamLinger = 10 * time.Second
)

// CanKeep reports whether packets of the contact address's connections can be kept
// and sent on here.
func (n *Node) CanKeep(contact netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.keeps() && n.contacts[contact] != nil
}

func (n *Node) keeps() bool { return n.able && dataplane.FeaturesOf(n.deps.Plane).Keep }

// Expect keeps what comes for a connection, also what its donor sends on, until
// Open or Undo, for half a minute at most. An anchor relays the connection to its
// donor until that has frozen it, and keeps what comes back.
func (n *Node) Expect(c Conn, donor netip.Addr, frozen bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := seam{kind: expecting, peer: donor, until: n.deps.Now().Add(expectFor)}
	if frozen {
		s.kind = coming
	}
	switch e, anchored := n.cache.Lookup(n.deps.Now(), c); {
	case !n.keeps():
		return &OpError{"expect", c, ErrUnsupported}
	case anchored && e.Owner != donor:
		n.counts.refused++
		return &OpError{"expect", c, fmt.Errorf("%w: %v has it, not %v", ErrNotOwner, e.Owner, donor)}
	case n.seams[c].peer != donor && len(n.seams) >= n.cfg.MaxEntries/2 && n.expected(donor) >= n.cfg.MaxEntries/2:
		return &OpError{"expect", c, ErrTableFull}
	}
	return n.setSeam("expect", c, s)
}

// expected is how many connections a donor may hand us, and has not. The lock is
// held.
func (n *Node) expected(donor netip.Addr) (count int) {
	for _, s := range n.seams {
		if s.peer == donor && (s.kind == expecting || s.kind == coming) {
			count++
		}
	}
	return count
}

// Open lets in what was kept: the endpoint lives. What the donor still sends on is
// taken for a while.
func (n *Node) Open(c Conn, donor netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.seams[c]; !ok || s.kind != expecting && s.kind != coming {
		return nil // nothing was kept
	}
	return n.setSeam("open", c, seam{kind: late, peer: donor, until: n.deps.Now().Add(seamLinger)})
}

// Divert sends what comes for a connection to its acceptor, until Left or Undo.
func (n *Node) Divert(c Conn, acceptor netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.keeps() {
		return &OpError{"divert", c, ErrUnsupported}
	}
	return n.setSeam("divert", c, seam{kind: diverting, peer: acceptor, via: n.via(c)})
}

// Left says that the acceptor has the connection: what is late still goes there for
// a while. Where this is the anchor its own entry says where, from now on.
func (n *Node) Left(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.seams[c]
	if !ok || s.kind != diverting {
		return
	}
	if e, anchored := n.cache.Lookup(n.deps.Now(), c); anchored && e.Owner != n.cfg.Self {
		delete(n.seams, c)
	} else {
		s.until = n.deps.Now().Add(seamLinger)
		n.seams[c] = s
	}
	n.syncQuietly(c)
}

// Undo ends Expect and Divert: the connection's packets go as if there had been no
// handoff, and what was kept is dropped.
func (n *Node) Undo(c Conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.seams[c]; !ok {
		return nil
	}
	delete(n.seams, c)
	if err := n.sync(c); err != nil {
		return &OpError{"undo", c, err}
	}
	return nil
}

// setSeam declares a seam; if that fails there is none. The lock is held.
func (n *Node) setSeam(op string, c Conn, s seam) error {
	_, there := n.seams[c]
	switch {
	case n.contacts[c.Contact.Addr()] == nil:
		return &OpError{op, c, ErrNoContact}
	case !there && len(n.seams) >= n.cfg.MaxEntries:
		return &OpError{op, c, ErrTableFull}
	}
	n.seams[c] = s
	if err := n.sync(c); err != nil {
		delete(n.seams, c)
		n.syncQuietly(c)
		return &OpError{op, c, err}
	}
	return nil
}

// seamed is the route of a connection with a seam; plain is what it would be
// without, some whether that is a route of its own. The lock is held.
func (n *Node) seamed(s seam, c Conn, plain dataplane.Route, some bool) dataplane.Route {
	var anchor netip.Addr // who relays to us
	if some && (plain.Kind == dataplane.Relayed || plain.Kind == dataplane.Direct) {
		anchor = plain.Peer
	}
	switch {
	case s.kind == expecting && some && plain.Kind == dataplane.RelayTo:
		plain.From, plain.Keep = plain.Peer, true
		return plain
	case s.kind == expecting, s.kind == coming:
		return dataplane.Route{Kind: dataplane.Held, Keep: true, From: s.peer, Peer: anchor}
	case s.kind == diverting:
		return dataplane.Route{Kind: dataplane.RelayTo, Peer: s.peer, Via: s.via, From: anchor}
	}
	if !some {
		plain = dataplane.Route{Kind: n.via(c)}
	}
	if plain.Peer != s.peer {
		plain.From = s.peer
	}
	return plain
}

// sweepSeams ends those whose time is over.
func (n *Node) sweepSeams(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c, s := range n.seams {
		if !s.until.IsZero() && !now.Before(s.until) {
			delete(n.seams, c)
			n.syncQuietly(c)
		}
	}
}
