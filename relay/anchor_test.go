package relay

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// shows wants a connection's whole route at a replica.
func (g *group) shows(at netip.Addr, c Conn, want string) {
	g.t.Helper()
	got := "none"
	if r, ok := g.nodes[at].plane.State().Routes[c.Flow()]; ok {
		got = r.String()
	}
	if got != want {
		g.t.Errorf("at %v %v is %q, want %q", at, c.Client.Port(), got, want)
	}
}

func (g *group) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// lives says which connections a replica serves.
func (m *member) lives(all ...Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local = all
}

// leave hands a connection from one replica to another as a handoff does.
func (g *group) leave(from, to netip.Addr, c Conn) Mark {
	g.t.Helper()
	m, err := g.nodes[from].Mark(c)
	g.must(err)
	g.must(g.nodes[to].Start(g.t.Context(), c, m))
	g.nodes[from].Finish(c)
	g.nodes[to].lives(append(slices.Clone(g.nodes[to].local), c)...)
	g.nodes[from].lives(slices.DeleteFunc(slices.Clone(g.nodes[from].local), func(l Conn) bool { return l == c })...)
	return m
}

// bind binds the client to a replica.
func (g *group) bind(at netip.Addr, bound bool) {
	g.nodes[at].SetBound(contactAddr, legacy, bound)
}

// The replica that a client is bound to relays one of several connections, whoever
// is contact node; it goes on, comes back, and ends.
func TestBoundAnchor(t *testing.T) {
	inGroup(t, func(g *group) {
		g.bind(reich, true)
		g.nodes[reich].lives(connOf(1), connOf(2))
		if g.nodes[reich].Anchors(contactAddr, legacy) {
			g.t.Error("an anchor of nothing")
		}
		if m := g.leave(reich, adams, connOf(1)); m.Anchor != reich || !m.Bound {
			g.t.Errorf("mark %+v", m)
		}
		g.shows(reich, connOf(1), "relay to 2001:db8:3::10 via optimised")
		g.shows(adams, connOf(1), "relayed by 2001:db8:2::10")
		g.shows(reich, connOf(2), "none")
		if !g.nodes[reich].Anchors(contactAddr, legacy) || g.nodes[reich].AnchorsOther(connOf(1)) || !g.nodes[reich].AnchorsOther(connOf(2)) {
			g.t.Error("not the anchor of just this one")
		}
		// Who is contact node makes no difference.
		g.nodes[adams].SetContactNode(contactAddr, reich)
		g.nodes[adams].SetContactNode(contactAddr, glass)
		g.nodes[glass].Announce(g.t.Context(), contactAddr, 5)
		time.Sleep(time.Minute)
		g.shows(adams, connOf(1), "relayed by 2001:db8:2::10")

		g.leave(adams, glass, connOf(1))
		g.shows(reich, connOf(1), "relay to 2001:db8:1::10 via optimised, accepts from 2001:db8:3::10")
		g.shows(glass, connOf(1), "relayed by 2001:db8:2::10")
		g.shows(adams, connOf(1), "none")
		g.leave(glass, reich, connOf(1))
		g.shows(reich, connOf(1), "none")
		if g.nodes[reich].Anchors(contactAddr, legacy) {
			g.t.Error("still an anchor")
		}
		// It ends elsewhere: then nothing is relayed any more.
		g.leave(reich, adams, connOf(1))
		g.nodes[adams].lives()
		time.Sleep(3 * time.Minute)
		g.shows(reich, connOf(1), "none")
		if g.nodes[reich].Anchors(contactAddr, legacy) {
			g.t.Error("still an anchor of what has ended")
		}
	})
}

// several is a client that is bound to reich and has a connection at each replica.
func several(g *group) {
	g.bind(reich, true)
	g.nodes[reich].lives(connOf(1), connOf(2), connOf(3))
	g.leave(reich, adams, connOf(1))
	g.leave(reich, glass, connOf(2))
}

// A client's binding moves from one replica to another, and at no moment has one of
// its packets nowhere to go; the connection that stays behind is relayed to the
// replica that has it.
func TestBindingMoves(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r, a := g.nodes[reich], g.nodes[adams]
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		if len(all) != 3 || all[0].Owner != adams || all[1].Owner != glass || all[2].Owner != reich {
			g.t.Fatalf("ceded %+v", all)
		}
		// While it is not decided no connection changes its owner.
		g.shows(reich, connOf(3), "optimised, accepts from 2001:db8:3::10")
		if res := r.decide(Request{Conn: connOf(1), Owner: glass, Sequence: all[0].Sequence + 1, Lifetime: time.Minute}); res.Status != mipv6.StatusReasonUnspecified {
			g.t.Errorf("a new owner: %v", res.Status)
		}
		if res := r.decide(Request{Conn: connOf(1), Owner: adams, Sequence: all[0].Sequence, Lifetime: time.Minute}); res.Status != mipv6.StatusAccepted {
			g.t.Errorf("a renewal: %v", res.Status)
		}
		if _, err := r.Cede(contactAddr, legacy, glass); err == nil {
			g.t.Error("ceded twice")
		}
		g.must(a.Adopt(contactAddr, legacy, reich, all))
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via tunnelled")
		g.shows(glass, connOf(2), "relayed by 2001:db8:2::10")
		// All send through the new anchor, which keeps what they send.
		a.Turn(g.t.Context(), contactAddr, legacy, reich, all)
		g.shows(adams, connOf(1), "relayed by 2001:db8:2::10, paused")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via tunnelled, paused")
		g.shows(glass, connOf(2), "relayed by 2001:db8:3::10, accepts from 2001:db8:2::10")
		g.shows(reich, connOf(3), "relayed by 2001:db8:3::10")
		g.shows(reich, connOf(2), "relay to 2001:db8:1::10 via optimised")

		g.bind(adams, true) // as the client is told
		g.shows(adams, connOf(1), "relayed by 2001:db8:2::10, paused")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised, paused")
		g.shows(adams, connOf(3), "relay to 2001:db8:2::10 via optimised, paused")
		a.Turned(contactAddr, legacy)
		g.shows(adams, connOf(1), "optimised, accepts from 2001:db8:2::10")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised")
		g.shows(adams, connOf(3), "relay to 2001:db8:2::10 via optimised")
		a.Adopted(g.t.Context(), contactAddr, legacy, reich, all)
		r.Ceded(contactAddr, legacy)
		g.bind(reich, false)
		synctest.Wait()
		g.shows(glass, connOf(2), "relayed by 2001:db8:3::10, accepts from 2001:db8:2::10")
		g.shows(reich, connOf(3), "relayed by 2001:db8:3::10")
		g.shows(reich, connOf(1), "relay to 2001:db8:3::10 via tunnelled") // what is late
		g.shows(reich, connOf(2), "relay to 2001:db8:1::10 via tunnelled")

		time.Sleep(5 * time.Minute) // leases are renewed at the new anchor
		g.shows(adams, connOf(1), "none")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised")
		g.shows(adams, connOf(3), "relay to 2001:db8:2::10 via optimised")
		g.shows(reich, connOf(1), "none")
		if owner := a.Owner(contactAddr, legacy); owner != glass {
			g.t.Errorf("owner %v", owner)
		}
		g.leave(glass, reich, connOf(2))
		g.shows(adams, connOf(2), "relay to 2001:db8:2::10 via optimised, accepts from 2001:db8:1::10")
	})
}

// The other does not take it: all is as before, whoever says so.
func TestBindingStays(t *testing.T) {
	for _, told := range []bool{true, false} {
		inGroup(t, func(g *group) { bindingStays(g, told) })
	}
}

func bindingStays(g *group, told bool) {
	several(g)
	r, a := g.nodes[reich], g.nodes[adams]
	g.must(r.Still(g.t.Context(), contactAddr, legacy))
	all, err := r.Cede(contactAddr, legacy, adams)
	g.must(err)
	g.must(a.Adopt(contactAddr, legacy, reich, all))
	a.Turn(g.t.Context(), contactAddr, legacy, reich, all)
	g.shows(glass, connOf(2), "relayed by 2001:db8:3::10, accepts from 2001:db8:2::10")
	if told {
		a.Unadopt(contactAddr, legacy, all)
		synctest.Wait()
		g.shows(reich, connOf(3), "optimised, accepts from 2001:db8:3::10")
		g.shows(glass, connOf(2), "relayed by 2001:db8:2::10")
	}
	r.Keep(contactAddr, legacy)
	synctest.Wait()
	g.shows(reich, connOf(1), "relay to 2001:db8:3::10 via optimised")
	g.shows(reich, connOf(2), "relay to 2001:db8:1::10 via optimised")
	g.shows(reich, connOf(3), "none")
	g.shows(glass, connOf(2), "relayed by 2001:db8:2::10")
	if !told { // it cannot be heard any more, and notices by itself
		a.Unadopt(contactAddr, legacy, all)
		synctest.Wait()
	}
	g.shows(adams, connOf(1), "relayed by 2001:db8:2::10")
	g.shows(adams, connOf(2), "none")
	g.leave(adams, glass, connOf(1))
	g.shows(reich, connOf(1), "relay to 2001:db8:1::10 via optimised, accepts from 2001:db8:3::10")
}

// A handoff fails after its acceptor may have asked for the connection: its donor
// makes sure of it at the anchor, not at the contact node, which is none.
func TestBindAtAnchor(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		m, err := g.nodes[adams].Mark(connOf(1))
		g.must(err)
		if res := g.nodes[reich].decide(Request{Conn: connOf(1), Owner: glass, Sequence: m.Sequence + 1, Lifetime: time.Minute}); res.Status != mipv6.StatusAccepted {
			g.t.Fatal(res.Status)
		}
		g.must(g.nodes[adams].Bind(g.t.Context(), connOf(1)))
		if e, ok := g.nodes[reich].cache.Lookup(time.Now(), connOf(1)); !ok || e.Owner != adams || e.Sequence != m.Sequence+2 {
			g.t.Errorf("registered %+v, %v", e, ok)
		}
		if _, ok := g.nodes[glass].cache.Lookup(time.Now(), connOf(1)); ok {
			g.t.Error("registered at the contact node")
		}
		g.shows(adams, connOf(1), "relayed by 2001:db8:2::10")
	})
}

// A connection that its application has closed sends what is left: the binding goes
// elsewhere, and it is relayed from there as long as it is used.
func TestClosedIsRelayed(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r := g.nodes[reich]
		r.lives()
		r.Closed(connOf(3), false)
		g.shows(reich, connOf(3), "none")
		if !r.AnchorsOther(connOf(9)) {
			g.t.Error("it does not count")
		}
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		if len(all) != 3 || all[2].Conn != connOf(3) || all[2].Owner != reich {
			g.t.Fatalf("ceded %+v", all)
		}
		g.must(g.nodes[adams].Adopt(contactAddr, legacy, reich, all))
		g.bind(adams, true)
		g.nodes[adams].Adopted(g.t.Context(), contactAddr, legacy, reich, all)
		r.Ceded(contactAddr, legacy)
		g.bind(reich, false)
		g.shows(adams, connOf(3), "relay to 2001:db8:2::10 via optimised")
		g.shows(reich, connOf(3), "relayed by 2001:db8:3::10")
		time.Sleep(10 * time.Minute) // it has ended
		g.shows(adams, connOf(3), "none")
		g.shows(reich, connOf(3), "none")
		// One that is alone leaves no trace.
		g.bind(glass, true)
		g.nodes[glass].cache.Forget(contactAddr)
		g.nodes[glass].lives()
		g.nodes[glass].Closed(connOf(7), false)
		if g.nodes[glass].owned[connOf(7)] != nil {
			g.t.Error("a record of a client's only connection")
		}
	})
}

// What has come by relaying counts as another connection of the client before the
// server has it, until it leaves with the binding.
func TestAnchorsWhatHasCome(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r := g.nodes[reich]
		g.leave(glass, reich, connOf(2))
		g.nodes[adams].lives()
		r.cache.remove(connOf(1))
		r.lives(connOf(3))
		if !r.AnchorsOther(connOf(3)) {
			g.t.Error("the one that has come does not count")
		}
		r.Gone(connOf(2))
		if r.AnchorsOther(connOf(3)) {
			g.t.Error("the one that has gone counts")
		}
	})
}

// A list that a replica has no business with is not taken, and leaves nothing.
func TestAdoptRefuses(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		a := g.nodes[adams]
		good := []Entry{{Conn: connOf(1), Owner: adams}, {Conn: connOf(2), Owner: glass}}
		other := Conn{connOf(1).Contact, netip.MustParseAddrPort("[2001:db8:b::99]:1")}
		for name, tc := range map[string]struct {
			from netip.Addr
			all  []Entry
		}{
			"none of ours":         {reich, good[1:]},
			"a stranger":           {legacy, good},
			"ourselves":            {adams, good},
			"not the anchor":       {glass, good},
			"another's connection": {reich, append(good[:2:2], Entry{Conn: other, Owner: glass})},
			"a strange owner":      {reich, append(good[:2:2], Entry{Conn: connOf(3), Owner: legacy})},
			"too many":             {reich, append(make([]Entry, maxCarried), good...)},
		} {
			if err := a.Adopt(contactAddr, legacy, tc.from, tc.all); err == nil {
				g.t.Errorf("%s: taken", name)
			}
			g.shows(adams, connOf(2), "none")
		}
		if _, err := a.Cede(contactAddr, legacy, reich); err == nil {
			g.t.Error("ceded what is not relayed here")
		}
	})
}

// A replica that has none of a client's connections any more is told so, and those
// whose anchor is gone are.
func TestVacantAndOrphaned(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		time.Sleep(time.Minute)
		r := g.nodes[reich]
		vacant := func() []netip.Addr {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.vacant)
		}
		if v := vacant(); len(v) != 0 {
			g.t.Errorf("vacant, to %v, though one is served here", v)
		}
		r.lives()
		time.Sleep(10 * time.Second)
		if v := vacant(); len(v) == 0 || v[0] != glass { // the lower of two with one each
			g.t.Errorf("vacant, to %v", v)
		}
		orphans := func(a netip.Addr) int {
			m := g.nodes[a]
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.orphans
		}
		if orphans(adams)+orphans(glass) != 0 {
			g.t.Error("orphans of a living anchor")
		}
		r.down.Store(true)
		time.Sleep(time.Minute)
		if orphans(adams) == 0 || orphans(glass) == 0 {
			g.t.Errorf("%d and %d orphans", orphans(adams), orphans(glass))
		}
		g.route(adams, connOf(1), dataplane.Relayed, reich)
		// It is back, and has forgotten the client.
		r.down.Store(false)
		g.bind(reich, false)
		before := orphans(adams)
		time.Sleep(time.Minute)
		if orphans(adams) == before {
			g.t.Error("no orphan of a forgetful anchor")
		}
	})
}

// An anchor's process is replaced by another: it asks whose packets may come.
func TestAnchorRestarts(t *testing.T) {
	inGroup(t, func(g *group) {
		g.bind(adams, true) // no candidate for contact node
		g.nodes[adams].lives(connOf(1), connOf(2))
		g.leave(adams, reich, connOf(1))
		a := g.nodes[adams]
		a.Remove(contactAddr)
		g.must(a.plane.RemoveContact(contactAddr))
		g.must(a.plane.SetContact(dataplane.Contact{Home: contactAddr, CareOf: adams, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}))
		a.Add(Contact{Address: contactAddr, ContactNodes: []netip.Addr{glass, reich}, Replicas: []netip.Addr{glass, reich, adams}})
		a.lives()
		g.shows(adams, connOf(1), "none")
		a.Collect(g.t.Context(), contactAddr)
		g.shows(adams, connOf(1), "relay to 2001:db8:2::10 via tunnelled")
		// A replica that relays nothing learns nothing.
		g.nodes[glass].SetContactNode(contactAddr, reich)
		if b, err := g.nodes[reich].HandleAnchor(g.t.Context(), adams, marshalAnchor(contactAddr, phaseAnnounce, 1)); err == nil {
			g.t.Errorf("announced by who may not: % x", b)
		}
	})
}

// A replica gets a binding back soon after it ceded it: what it knew of the
// connections then does not count any more.
func TestBindingComesBack(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		cede := func(from, to netip.Addr) {
			all, err := g.nodes[from].Cede(contactAddr, legacy, to)
			g.must(err)
			g.must(g.nodes[to].Adopt(contactAddr, legacy, from, all))
			g.bind(to, true)
			g.nodes[to].Adopted(g.t.Context(), contactAddr, legacy, from, all)
			g.nodes[from].Ceded(contactAddr, legacy)
			g.bind(from, false)
			synctest.Wait()
		}
		cede(reich, adams)
		g.must(g.nodes[reich].Undo(connOf(2)))
		g.leave(glass, reich, connOf(2))
		g.shows(adams, connOf(2), "relay to 2001:db8:2::10 via optimised, accepts from 2001:db8:1::10")
		cede(adams, reich)
		g.must(g.nodes[glass].Undo(connOf(2)))
		g.leave(reich, glass, connOf(2))
		g.must(g.nodes[adams].Undo(connOf(3)))
		g.leave(reich, adams, connOf(3))
		cede(reich, adams)
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised")
		g.shows(glass, connOf(2), "relayed by 2001:db8:3::10, accepts from 2001:db8:2::10")
		g.shows(adams, connOf(3), "optimised, accepts from 2001:db8:2::10")
	})
}
