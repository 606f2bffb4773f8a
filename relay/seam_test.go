package relay

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/peer"
)

var (
	seamAnchor   = netip.MustParseAddr("2001:db8:1::10")
	seamDonor    = netip.MustParseAddr("2001:db8:2::10")
	seamAcceptor = netip.MustParseAddr("2001:db8:3::10")
	seamAgent    = netip.MustParseAddr("2001:db8:9::ff")
	seamConn     = Conn{netip.MustParseAddrPort("[2001:db8:9::1]:4000"), netip.MustParseAddrPort("[2001:db8:b::10]:50000")}
)

// network is replicas that can call each other.
type network map[netip.Addr]*Node

type neighbour struct {
	net  network
	from netip.Addr
}

func (c neighbour) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	n := c.net[to]
	switch {
	case n == nil:
		return nil, peer.ErrUnreachable
	case kind == peer.KindRelay:
		return n.HandleUpdates(ctx, c.from, req)
	}
	return n.HandleAnchor(ctx, c.from, req)
}

// seamed is a replica with its data plane.
type seamed struct {
	*Node
	plane *planetest.Plane
	now   *time.Time
}

// seamNet makes the replicas; the first is contact node.
func seamNet(t *testing.T, now *time.Time, addrs ...netip.Addr) []seamed {
	t.Helper()
	net := network{}
	var all []seamed
	for _, a := range addrs {
		plane := planetest.New()
		if err := plane.SetContact(dataplane.Contact{Home: seamConn.Contact.Addr(), CareOf: a, HomeAgent: seamAgent}); err != nil {
			t.Fatal(err)
		}
		n := New(Config{Self: a, MaxEntries: 8, InUse: func(Conn) bool { return false }}, Deps{Plane: plane, Peers: neighbour{net, a}, Now: func() time.Time { return *now }})
		n.Add(Contact{Address: seamConn.Contact.Addr(), ContactNodes: addrs[:1], Replicas: addrs})
		n.SetContactNode(seamConn.Contact.Addr(), addrs[0])
		net[a] = n
		all = append(all, seamed{n, plane, now})
	}
	return all
}

// is checks the route that a replica has declared for the connection.
func (s seamed) is(t *testing.T, want string) {
	t.Helper()
	got := "none"
	if r, ok := s.plane.State().Routes[seamConn.Flow()]; ok {
		got = r.String()
	}
	if got != want {
		t.Errorf("%v: route is %q, want %q", s.cfg.Self, got, want)
	}
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A relayed connection moves between any two replicas: whatever its packets' way,
// each has a route at every moment that brings it to the endpoint, or keeps it.
func TestSeamOfRelayed(t *testing.T) {
	const a, d, c = "2001:db8:1::10", "2001:db8:2::10", "2001:db8:3::10"
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	move := func(donor, acceptor seamed, offered, frozen, started, opened func()) {
		t.Helper()
		ok(t, acceptor.Expect(seamConn, donor.cfg.Self, false))
		offered()
		ok(t, donor.Divert(seamConn, acceptor.cfg.Self))
		m, err := donor.Mark(seamConn)
		ok(t, err, acceptor.Expect(seamConn, donor.cfg.Self, true))
		frozen()
		ok(t, acceptor.Start(t.Context(), seamConn, m))
		started()
		ok(t, acceptor.Open(seamConn, donor.cfg.Self))
		donor.Finish(seamConn)
		donor.Left(seamConn)
		opened()
		now = now.Add(seamLinger)
		for _, n := range nodes {
			n.sweepSeams(now)
			if len(n.seams) != 0 {
				t.Errorf("%v: %d seams are left", n.cfg.Self, len(n.seams))
			}
		}
	}
	anchor, donor, acceptor := nodes[0], nodes[1], nodes[2]
	t.Run("from the anchor", func(t *testing.T) {
		move(anchor, donor,
			func() { anchor.is(t, "none"); donor.is(t, "held, kept, accepts from "+a) },
			func() { anchor.is(t, "relay to "+d+" via tunnelled"); donor.is(t, "held, kept, accepts from "+a) },
			func() {
				anchor.is(t, "relay to "+d+" via tunnelled")
				donor.is(t, "held and relayed by "+a+", kept, accepts from "+a)
			},
			func() { anchor.is(t, "relay to "+d+" via tunnelled"); donor.is(t, "relayed by "+a) })
		donor.is(t, "relayed by "+a)
	})
	t.Run("past the anchor", func(t *testing.T) {
		move(donor, acceptor,
			func() { donor.is(t, "relayed by "+a); acceptor.is(t, "held, kept, accepts from "+d) },
			func() {
				anchor.is(t, "relay to "+d+" via tunnelled")
				donor.is(t, "relay to "+c+" via relayed, accepts from "+a)
			},
			func() {
				anchor.is(t, "relay to "+c+" via tunnelled, accepts from "+d)
				donor.is(t, "relay to "+c+" via relayed, accepts from "+a)
				acceptor.is(t, "held and relayed by "+a+", kept, accepts from "+d)
			},
			func() { acceptor.is(t, "relayed by "+a+", accepts from "+d) })
		acceptor.is(t, "relayed by "+a)
		donor.is(t, "none")
	})
	t.Run("to the anchor", func(t *testing.T) {
		move(acceptor, anchor,
			// Until the owner has frozen it, it gets what comes; what it gives back
			// is kept.
			func() { anchor.is(t, "relay to "+c+" via tunnelled, kept, accepts from "+c) },
			func() {
				acceptor.is(t, "relay to "+a+" via tunnelled, accepts from "+a)
				anchor.is(t, "held, kept, accepts from "+c)
			},
			func() { anchor.is(t, "held, kept, accepts from "+c) },
			func() { anchor.is(t, "tunnelled, accepts from "+c) })
		anchor.is(t, "none")
		acceptor.is(t, "none")
	})
}

// Where a handoff comes to nothing, packets go as before.
func TestSeamUndone(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor)
	anchor, owner := nodes[0], nodes[1]
	m, err := anchor.Mark(seamConn)
	ok(t, err, owner.Start(t.Context(), seamConn, m))
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")

	ok(t, anchor.Expect(seamConn, seamDonor, false), owner.Divert(seamConn, seamAnchor), anchor.Expect(seamConn, seamDonor, true))
	ok(t, anchor.Undo(seamConn), owner.Undo(seamConn))
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")
	owner.is(t, "relayed by 2001:db8:1::10")

	// An acceptor that hears no more of it comes to the same.
	ok(t, anchor.Expect(seamConn, seamDonor, false))
	now = now.Add(expectFor)
	anchor.sweepSeams(now)
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")
	// Open and Left of what is not there do nothing.
	ok(t, anchor.Open(seamConn, seamDonor))
	owner.Left(seamConn)
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")
	owner.is(t, "relayed by 2001:db8:1::10")
}

// A replica cannot get at a connection that another one owns, nor take all the
// room; a stranger's packets have no way in, since nothing is declared for it.
func TestSeamRefused(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	anchor, owner := nodes[0], nodes[1]
	m, err := anchor.Mark(seamConn)
	ok(t, err, owner.Start(t.Context(), seamConn, m))
	if err := anchor.Expect(seamConn, seamAcceptor, true); !errors.Is(err, ErrNotOwner) {
		t.Errorf("a donor that is not the owner: %v", err)
	}
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")
	if n := anchor.Counters()["refused"]; n != 1 {
		t.Errorf("%d refusals counted", n)
	}

	conn := func(i int) Conn {
		return Conn{seamConn.Contact, netip.AddrPortFrom(seamConn.Client.Addr(), uint16(1000+i))}
	}
	for i := range 4 {
		ok(t, owner.Expect(conn(i), seamAcceptor, false))
	}
	if err := owner.Expect(conn(4), seamAcceptor, false); !errors.Is(err, ErrTableFull) {
		t.Errorf("a replica takes more than its half: %v", err)
	}
	ok(t, owner.Expect(conn(3), seamAcceptor, true)) // one that is known
	for i := 4; i < 8; i++ {
		ok(t, owner.Expect(conn(i), seamAnchor, false))
	}
	if err := owner.Divert(conn(8), seamAnchor); !errors.Is(err, ErrTableFull) {
		t.Errorf("the table is not bounded: %v", err)
	}
	now = now.Add(expectFor)
	owner.sweepSeams(now)
	ok(t, owner.Expect(conn(4), seamAcceptor, false))
	if err := owner.Expect(Conn{netip.MustParseAddrPort("[2001:db8:9::2]:4000"), seamConn.Client}, seamAcceptor, false); !errors.Is(err, ErrNoContact) {
		t.Errorf("another contact address: %v", err)
	}
}

// A client that is bound has its own way; the handoff's packets go by it.
func TestSeamOfBound(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	donor, acceptor := nodes[1], nodes[2]
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	ok(t, acceptor.Expect(seamConn, seamDonor, false), donor.Divert(seamConn, seamAcceptor))
	donor.is(t, "relay to 2001:db8:3::10 via optimised")
	acceptor.is(t, "held, kept, accepts from 2001:db8:2::10")
	acceptor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	acceptor.is(t, "held, kept, accepts from 2001:db8:2::10")
	ok(t, acceptor.Open(seamConn, seamDonor))
	acceptor.is(t, "optimised, accepts from 2001:db8:2::10")
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), false)
	donor.Left(seamConn)
	now = now.Add(seamLinger)
	donor.sweepSeams(now)
	acceptor.sweepSeams(now)
	donor.is(t, "none")
	acceptor.is(t, "none")
}

// An acceptor may speak through the donor before it is registered. The donor can
// then take the connection back only as long as nobody heard it.
func TestSeamThrough(t *testing.T) {
	const a, d, c = "2001:db8:1::10", "2001:db8:2::10", "2001:db8:3::10"
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	anchor, donor, acceptor := nodes[0], nodes[1], nodes[2]
	m, err := anchor.Mark(seamConn)
	ok(t, err, donor.Start(t.Context(), seamConn, m))
	if acceptor.CanSpeak(seamConn) {
		t.Error("a connection that nobody hands over may speak")
	}
	ok(t, acceptor.Expect(seamConn, seamDonor, false), donor.Divert(seamConn, seamAcceptor), acceptor.Expect(seamConn, seamDonor, true))
	if !acceptor.CanSpeak(seamConn) {
		t.Error("it may not speak through the donor")
	}
	ok(t, acceptor.Through(seamConn, seamDonor))
	acceptor.is(t, "relayed by "+d)
	donor.is(t, "relay to "+c+" via relayed, accepts from "+a)

	// Nobody has heard it: it can be taken back, and what comes meanwhile is kept.
	if heard, err := donor.Halt(seamConn); heard || err != nil {
		t.Fatalf("Halt: %v, %v", heard, err)
	}
	donor.is(t, "held and relayed by "+a+", kept")
	ok(t, donor.Undo(seamConn))
	donor.is(t, "relayed by "+a)

	// It was heard: it is heard on.
	ok(t, donor.Divert(seamConn, seamAcceptor))
	donor.plane.Hear(seamConn.Flow())
	for range 2 {
		if heard, err := donor.Halt(seamConn); !heard || err != nil {
			t.Fatalf("Halt: %v, %v", heard, err)
		}
		donor.is(t, "relay to "+c+" via relayed, accepts from "+a)
	}
	m, err = donor.Mark(seamConn)
	ok(t, err, acceptor.Start(t.Context(), seamConn, m))
	acceptor.is(t, "relayed by "+d+", accepts from "+a)
	ok(t, acceptor.Open(seamConn, seamDonor))
	acceptor.is(t, "relayed by "+a+", accepts from "+d)
}

// Where it is not known whether the acceptor was heard, Halt says so, and it is not
// heard on.
func TestSeamHaltFails(t *testing.T) {
	now := time.Unix(1000, 0)
	donor := seamNet(t, &now, seamAnchor, seamDonor)[1]
	if heard, err := donor.Halt(seamConn); heard || err != nil {
		t.Errorf("Halt of what is not handed over: %v, %v", heard, err)
	}
	ok(t, donor.Divert(seamConn, seamAnchor))
	broken := errors.New("broken")
	donor.plane.FailWith(func(c planetest.Call) error {
		if c.Route.Kind == dataplane.Held {
			return broken
		}
		return nil
	})
	if _, err := donor.Halt(seamConn); !errors.Is(err, broken) {
		t.Errorf("Halt: %v", err)
	}
	donor.plane.FailWith(nil)
	ok(t, donor.Undo(seamConn))
	donor.is(t, "none")
}

// One that could not be registered is heard through its donor, and goes on trying;
// if the donor has taken it back by then it is silent.
func TestSeamUnregistered(t *testing.T) {
	for name, reclaimed := range map[string]bool{"registered later": false, "taken back": true} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
			anchor, donor, acceptor := nodes[0], nodes[1], nodes[2]
			m, err := anchor.Mark(seamConn)
			ok(t, err, donor.Start(t.Context(), seamConn, m))
			m, err = donor.Mark(seamConn)
			ok(t, err, donor.Divert(seamConn, seamAcceptor), acceptor.Expect(seamConn, seamDonor, true), acceptor.Through(seamConn, seamDonor))
			acceptor.cfg.InUse = func(Conn) bool { return true }
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			anchor.SetContactNode(seamConn.Contact.Addr(), seamDonor) // it is none at the moment
			if err := acceptor.Start(ctx, seamConn, m); err == nil {
				t.Fatal("registered at nobody")
			}
			anchor.SetContactNode(seamConn.Contact.Addr(), seamAnchor)
			acceptor.is(t, "relayed by 2001:db8:2::10, accepts from 2001:db8:1::10")
			if reclaimed {
				ok(t, donor.Reclaim(t.Context(), seamConn, m), donor.Undo(seamConn))
			}
			acceptor.sweep()
			acceptor.work.Wait()
			if reclaimed {
				acceptor.is(t, "held")
				donor.is(t, "relayed by 2001:db8:1::10")
			} else {
				acceptor.is(t, "relayed by 2001:db8:1::10, accepts from 2001:db8:2::10")
				anchor.is(t, "relay to 2001:db8:3::10 via tunnelled, accepts from 2001:db8:2::10")
			}
		})
	}
}

// What an anchor says counts nothing for a client that sends here by itself: a
// connection that began relayed, and moved with its client's binding since.
func TestBoundThoughLost(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor)
	anchor, owner := nodes[0], nodes[1]
	m, err := anchor.Mark(seamConn)
	ok(t, err, owner.Start(t.Context(), seamConn, m))
	taken := anchor.cache.Update(now, Request{Conn: seamConn, Owner: seamAcceptor, Sequence: m.Sequence + 2, Lifetime: DefaultLifetime})
	ok(t, anchor.refusal(seamAnchor, taken))
	owner.cfg.InUse = func(Conn) bool { return true }
	owner.renew(batch{contact: seamConn.Contact.Addr(), anchor: seamAnchor}, []Request{{Conn: seamConn, Owner: seamDonor, Sequence: m.Sequence + 1, Lifetime: DefaultLifetime}})
	owner.is(t, "held")
	owner.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	owner.is(t, "optimised, accepts from 2001:db8:1::10")
	owner.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), false)

	// One that is not served here any more is forgotten.
	owner.cfg.InUse = func(Conn) bool { return false }
	owner.renew(batch{contact: seamConn.Contact.Addr(), anchor: seamAnchor}, []Request{{Conn: seamConn, Owner: seamDonor, Sequence: m.Sequence + 1, Lifetime: DefaultLifetime}})
	owner.is(t, "none")
}

// A client that is back with another connection may use the port of one that left.
func TestBoundEndsLateSeams(t *testing.T) {
	now := time.Unix(1000, 0)
	donor := seamNet(t, &now, seamAnchor, seamDonor)[1]
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	ok(t, donor.Divert(seamConn, seamAcceptor))
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), false)
	donor.Left(seamConn)
	donor.is(t, "relay to 2001:db8:3::10 via optimised")
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	donor.is(t, "none")
}

// A client that left the contact node bound, and whose new replica finds that it hears
// nothing so, is relayed by the contact node at once, and not its late packets' way.
func TestRegisteringEndsLateSeams(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor)
	donor, acceptor := nodes[0], nodes[1]
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	ok(t, donor.Divert(seamConn, seamDonor))
	donor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), false)
	donor.Left(seamConn)
	donor.is(t, "relay to 2001:db8:2::10 via optimised")
	ok(t, acceptor.Bind(t.Context(), seamConn))
	donor.is(t, "relay to 2001:db8:2::10 via tunnelled")
	acceptor.is(t, "relayed by 2001:db8:1::10")
}
