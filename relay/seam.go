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
	relay netip.Addr          // of a donor: who relayed to it, if anybody did
	heard bool                // of a donor: the acceptor was heard
	until time.Time           // when it ends by itself; zero: when the handoff says so
}

type seamKind uint8

const (
	expecting seamKind = iota // acceptor: the client may come
	coming                    // acceptor: the donor has frozen it
	through                   // acceptor: it is here, and speaks through the donor
	diverting                 // donor: it is on its way, or was
	halted                    // donor: the acceptor is not heard any more
	moved                     // anchor: another owner has it, and late packets of the one before may come
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
	case anchored && e.Owner != donor && !e.Late: // else the client has said who has it since
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
	if s, ok := n.seams[c]; !ok || s.kind != expecting && s.kind != coming && s.kind != through {
		return nil // nothing was kept
	}
	return n.setSeam("open", c, seam{kind: late, peer: donor, until: n.deps.Now().Add(seamLinger)})
}

// CanSpeak reports whether a connection that is relayed, of this mark, can live here
// before it is registered: what it sends goes through its donor, and so its donor
// knows whether it was heard. Where this is the anchor registering takes no time.
func (n *Node) CanSpeak(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[c.Contact.Addr()]
	return ct != nil && !ct.active && n.keeps() && n.seams[c].kind == coming && n.seams[c].peer.IsValid()
}

// Through lets in what was kept: the endpoint lives, and speaks through the donor
// until Open.
func (n *Node) Through(c Conn, donor netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.setSeam("through", c, seam{kind: through, peer: donor, until: n.deps.Now().Add(expectFor)})
}

// Halt, at the donor, ends that the acceptor is heard, and tells whether it was. If
// so it is heard on: the connection is its own. If not, or if that is not known,
// nothing goes to it or from it until Divert, Left or Undo, and what comes is kept.
func (n *Node) Halt(c Conn) (heard bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.seams[c]
	if !ok || s.kind != diverting && s.kind != halted {
		return false, nil
	}
	if s.heard {
		return true, nil
	}
	hearer, ok := n.deps.Plane.(dataplane.Hearer)
	if !ok {
		return false, &OpError{"halt", c, ErrUnsupported}
	}
	s.kind = halted
	n.seams[c] = s
	if err := n.sync(c); err != nil {
		return false, &OpError{"halt", c, err}
	}
	if heard, err = hearer.Heard(c.Flow()); err != nil {
		return false, &OpError{"halt", c, err}
	}
	if heard {
		s.kind, s.heard = diverting, true
		n.seams[c] = s
		n.syncQuietly(c)
	}
	return heard, nil
}

// Divert sends what comes for a connection to its acceptor, and what that one sends
// on, until Left, Halt or Undo.
func (n *Node) Divert(c Conn, acceptor netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.keeps() {
		return &OpError{"divert", c, ErrUnsupported}
	}
	s := seam{kind: diverting, peer: acceptor, via: n.via(c)}
	if plain, some := n.plain(c); some && plain.Kind != dataplane.RelayTo && plain.Peer.IsValid() {
		s.relay = plain.Peer
		if plain.Kind == dataplane.Direct || plain.Peer != acceptor { // which needs nobody to be heard
			s.via = plain.Kind
		}
	}
	if old := n.seams[c]; old.kind == late && old.peer != acceptor && !s.relay.IsValid() {
		s.relay = old.peer // what is late here is late there
	}
	return n.setSeam("divert", c, s)
}

// Left says that the acceptor has the connection: what is late still goes there for
// a while. Where this is the anchor its own entry says where, from now on.
func (n *Node) Left(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.seams[c]
	if !ok || s.kind != diverting && s.kind != halted {
		return
	}
	if e, anchored := n.cache.Lookup(n.deps.Now(), c); anchored && e.Owner != n.cfg.Self {
		delete(n.seams, c)
	} else {
		s.kind, s.until = diverting, n.deps.Now().Add(seamLinger)
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

// handedOn notes at the anchor who had a connection before: what is under way from
// there, its own or what it sends on for the owner, is not lost. Where there is no
// room it is. The lock is held.
func (n *Node) handedOn(c Conn, former netip.Addr) {
	s, there := n.seams[c]
	if former == n.cfg.Self || there && s.kind != moved || !there && len(n.seams) >= n.cfg.MaxEntries {
		return
	}
	n.seams[c] = seam{kind: moved, peer: former, until: n.deps.Now().Add(seamLinger)}
}

// endLate ends, at the anchor, that late packets go on to an acceptor: from now on the
// entry says where to, and how what comes back goes to the client. It may have been
// bound when it left, and not be any more. The lock is held.
func (n *Node) endLate(c Conn) {
	if s, ok := n.seams[c]; ok && s.late() {
		delete(n.seams, c)
	}
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
	if some && plain.Kind != dataplane.RelayTo {
		anchor = plain.Peer
	}
	switch {
	case s.kind == moved:
		if some && plain.Kind == dataplane.RelayTo && plain.Peer != s.peer {
			plain.From = s.peer
		}
		return plain
	case s.kind == expecting && some && plain.Kind == dataplane.RelayTo && plain.Peer == s.peer:
		plain.From, plain.Keep = plain.Peer, true
		return plain
	case s.kind == expecting, s.kind == coming:
		return dataplane.Route{Kind: dataplane.Held, Keep: true, From: s.peer, Peer: anchor}
	case s.kind == through:
		if anchor == s.peer {
			anchor = netip.Addr{}
		}
		return dataplane.Route{Kind: dataplane.Relayed, Peer: s.peer, From: anchor}
	case s.kind == diverting:
		return dataplane.Route{Kind: dataplane.RelayTo, Peer: s.peer, Via: s.via, From: s.relay}
	case s.kind == halted:
		return dataplane.Route{Kind: dataplane.Held, Keep: true, Peer: s.relay}
	}
	if !some {
		plain = dataplane.Route{Kind: n.via(c)}
	}
	switch {
	case some && plain.From.IsValid() && plain.Kind != dataplane.RelayTo && n.owned[c].next.IsValid():
		// Two replicas relay it now, and both count for more than what is late.
	case plain.Kind == dataplane.Optimised && plain.From.IsValid() && plain.From != s.peer:
		plain.Peer, plain.From = plain.From, s.peer
	case plain.Peer != s.peer:
		plain.From = s.peer
	}
	return plain
}

// sweepSeams ends those whose time is over. Who could not be registered speaks
// through its donor as long as it lives.
func (n *Node) sweepSeams(now time.Time) {
	n.mu.Lock()
	var due []Conn
	for c, s := range n.seams {
		if !s.until.IsZero() && !now.Before(s.until) {
			due = append(due, c)
		}
	}
	n.mu.Unlock()
	for _, c := range due {
		used := n.cfg.InUse(c)
		n.mu.Lock()
		switch s, ok := n.seams[c]; {
		case !ok || now.Before(s.until): // it went on meanwhile
		case used && s.kind == through:
			s.until = now.Add(expectFor)
			n.seams[c] = s
		case s.kind == diverting && n.busy(c, now):
			s.until = now.Add(seamLinger)
			n.seams[c] = s
		default:
			delete(n.seams, c)
			n.syncQuietly(c)
		}
		n.mu.Unlock()
	}
}

// busy tells whether packets of the connection have passed lately. The lock is held.
func (n *Node) busy(c Conn, now time.Time) bool {
	last, err := n.deps.Plane.LastUsed(c.Flow())
	return err == nil && !last.IsZero() && now.Sub(last) < seamLinger
}
