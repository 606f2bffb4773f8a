package relay

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// begins has a replica serve one more connection.
func (m *member) begins(c Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local = append(slices.Clone(m.local), c)
}

// Connections begin at the anchor after it has listed those that go along with the
// binding: the new anchor relays them before it answers for what it does not know.
func TestLateIsRelayed(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r, a := g.nodes[reich], g.nodes[adams]
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		r.begins(connOf(4)) // before the client is told
		g.must(a.Adopt(contactAddr, legacy, reich, all))
		a.Turn(g.t.Context(), contactAddr, legacy, reich, all)
		r.begins(connOf(5)) // while it is
		g.bind(adams, true)
		a.Turned(contactAddr, legacy)
		r.begins(connOf(6)) // and is closed at once
		r.lives(slices.DeleteFunc(slices.Clone(r.local), func(c Conn) bool { return c == connOf(6) })...)
		r.Closed(connOf(6), true)
		over := make(chan error, 1)
		go func() { over <- a.Adopted(g.t.Context(), contactAddr, legacy, reich, all) }()
		synctest.Wait()
		for _, port := range []uint16{4, 5, 6} {
			g.shows(adams, connOf(port), "relay to 2001:db8:2::10 via optimised")
			g.shows(reich, connOf(port), "relayed by 2001:db8:3::10")
		}
		r.begins(connOf(7)) // just before the old anchor hears of it
		select {
		case <-over:
			t.Error("the old anchor is not waited for")
		default:
		}
		r.Ceded(contactAddr, legacy)
		g.must(<-over)
		g.bind(reich, false)
		synctest.Wait()
		time.Sleep(5 * time.Minute) // leases are renewed
		for _, port := range []uint16{4, 5, 7} {
			g.shows(adams, connOf(port), "relay to 2001:db8:2::10 via optimised")
			g.shows(reich, connOf(port), "relayed by 2001:db8:3::10")
		}
		g.shows(adams, connOf(6), "none") // it has ended
		g.leave(reich, glass, connOf(7))
		g.shows(adams, connOf(7), "relay to 2001:db8:1::10 via optimised, accepts from 2001:db8:2::10")
	})
}

// The handshake of a connection is under way when the client is told, or nobody has
// accepted it yet: it comes into being at the old anchor, relayed by the new one.
func TestLateIsPending(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r, a := g.nodes[reich], g.nodes[adams]
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		g.must(a.Adopt(contactAddr, legacy, reich, all))
		r.cfg.Pending = func(contact, client netip.Addr) []Conn {
			if contact != contactAddr || client != legacy {
				t.Errorf("asked for %v and %v", contact, client)
			}
			return []Conn{connOf(4), connOf(2)} // a socket of what has left is nothing
		}
		g.bind(adams, true)
		go r.Ceded(contactAddr, legacy)
		g.must(a.Adopted(g.t.Context(), contactAddr, legacy, reich, all))
		g.bind(reich, false)
		synctest.Wait()
		g.shows(adams, connOf(4), "relay to 2001:db8:2::10 via optimised")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised")
		g.shows(reich, connOf(4), "relayed by 2001:db8:3::10")
		r.begins(connOf(4))
		if !r.Accepted(connOf(4)) {
			t.Error("nobody has chosen this replica for it")
		}
		time.Sleep(5 * time.Minute)
		g.shows(adams, connOf(4), "relay to 2001:db8:2::10 via optimised")
	})
}

// The binding stays: what has begun meanwhile goes straight as before.
func TestLateStays(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r, a := g.nodes[reich], g.nodes[adams]
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		g.must(a.Adopt(contactAddr, legacy, reich, all))
		r.begins(connOf(4))
		a.Unadopt(contactAddr, legacy, all)
		r.Keep(contactAddr, legacy)
		synctest.Wait()
		g.shows(reich, connOf(4), "none")
		g.shows(adams, connOf(4), "none")
	})
}

// The binding stays at first: what has been closed is listed the next time, too, for as
// long as it may have something to send.
func TestClosedStays(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r := g.nodes[reich]
		r.lives()
		r.Closed(connOf(3), false)
		for _, want := range []int{3, 3, 2} {
			all, err := r.Cede(contactAddr, legacy, adams)
			g.must(err)
			if len(all) != want {
				t.Errorf("%v after it was closed %d are listed, not %d", time.Now(), len(all), want)
			}
			r.Keep(contactAddr, legacy)
			time.Sleep(idleUse / 2)
		}
		time.Sleep(idleUse)
		if r.owned[connOf(3)] != nil {
			t.Error("remembered for ever")
		}
	})
}

// A connection that has left is none that has begun, though the server does not know
// yet; and the new anchor that cannot be reached is told when it can be.
func TestLateIsOurs(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r, a := g.nodes[reich], g.nodes[adams]
		r.begins(connOf(2)) // it is glass's
		all, err := r.Cede(contactAddr, legacy, adams)
		g.must(err)
		g.must(a.Adopt(contactAddr, legacy, reich, all))
		r.begins(connOf(4))
		g.bind(adams, true)
		r.down.Store(true)
		if a.Adopted(g.t.Context(), contactAddr, legacy, reich, all) == nil {
			t.Error("told who cannot be reached")
		}
		r.Ceded(contactAddr, legacy)
		g.bind(reich, false)
		synctest.Wait()
		g.shows(adams, connOf(4), "none")
		r.down.Store(false)
		time.Sleep(sweep + time.Second)
		g.shows(adams, connOf(4), "relay to 2001:db8:2::10 via optimised")
		g.shows(adams, connOf(2), "relay to 2001:db8:1::10 via optimised")
	})
}

// An owner that has none left is told of a new anchor: it has nothing to say.
func TestBoundTellsNobody(t *testing.T) {
	inGroup(t, func(g *group) {
		g.must(g.tell(glass, reich, stageBound, 0))
		if _, err := g.nodes[glass].Cede(contactAddr, legacy, reich); err == nil {
			t.Error("ceded nothing")
		}
	})
}

// Where what is not known of a client meets silence a connection that goes straight has
// a route of its own.
func TestGuardedGoesStraight(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		r := g.nodes[reich]
		g.leave(glass, reich, connOf(2)) // its anchor is reich itself
		r.Guard(contactAddr, legacy, true)
		g.shows(reich, connOf(2), "optimised")
		g.shows(reich, connOf(1), "relay to 2001:db8:3::10 via optimised")
		if res := r.decide(Request{Conn: connOf(9), Owner: glass, Sequence: 1, Lifetime: time.Minute}); res.Status != mipv6.StatusAccepted {
			t.Error(res.Status)
		}
		g.shows(reich, connOf(9), "relay to 2001:db8:1::10 via optimised")
		r.Guard(contactAddr, legacy, false)
		g.shows(reich, connOf(2), "none")
	})
}
