package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/peer"
)

// trio is a contact node and other replicas, whose calls arrive at once.
type trio struct {
	nodes  map[netip.Addr]*Node
	planes map[netip.Addr]*planetest.Plane
	live   map[netip.Addr]map[Conn]bool // the connections of each replica
	calls  atomic.Int64
	mu     sync.Mutex // of live
	cut    map[netip.Addr]bool
}

type end struct {
	g    *trio
	from netip.Addr
}

func (e end) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	e.g.calls.Add(1)
	n := e.g.nodes[to]
	if n == nil || e.g.cut[to] || e.g.cut[e.from] {
		return nil, fmt.Errorf("%w: %v", peer.ErrUnreachable, to)
	}
	switch kind {
	case peer.KindRelay:
		return n.HandleUpdates(ctx, e.from, req)
	case peer.KindAnchor:
		return n.HandleAnchor(ctx, e.from, req)
	}
	return nil, errors.New("no such kind")
}

// newTrio makes three replicas, the first of which is contact node; to be called
// in a synctest bubble.
func newTrio(t *testing.T, halfOpen int) *trio {
	g := &trio{
		nodes: map[netip.Addr]*Node{}, planes: map[netip.Addr]*planetest.Plane{},
		live: map[netip.Addr]map[Conn]bool{}, cut: map[netip.Addr]bool{},
	}
	all := []netip.Addr{glass, reich, adams}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, a := range all {
		p := planetest.New()
		if err := p.SetContact(dataplane.Contact{Home: contactAddr, CareOf: a, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}); err != nil {
			t.Fatal(err)
		}
		g.planes[a], g.live[a] = p, map[Conn]bool{}
		n := New(Config{Self: a, MaxHalfOpen: halfOpen, InUse: func(c Conn) bool { g.mu.Lock(); defer g.mu.Unlock(); return g.live[a][c] }}, Deps{Plane: p, Peers: end{g, a}})
		n.Add(Contact{Address: contactAddr, ContactNodes: all[:2], Replicas: all})
		n.SetContactNode(contactAddr, glass)
		g.nodes[a] = n
		running.Go(func() { n.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for _, n := range g.nodes {
			n.Close()
		}
	})
	return g
}

// routes fails the test unless a connection's routes at the replicas are these;
// "" is none.
func (g *trio) routes(t *testing.T, c Conn, want map[netip.Addr]string) {
	t.Helper()
	for a, w := range want {
		got := ""
		if r, ok := g.planes[a].State().Routes[c.Flow()]; ok {
			got = r.String()
		}
		if got != w {
			t.Errorf("route of %v at %v: %q, want %q", c, a, got, w)
		}
	}
}

// serves says whether a replica has the connection.
func (g *trio) serves(a netip.Addr, c Conn, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[a][c] = on
}

func (g *trio) steer(t *testing.T, c Conn, owner netip.Addr) {
	t.Helper()
	if err := g.nodes[glass].Steer(c, owner); err != nil {
		t.Fatal(err)
	}
	if err := g.nodes[owner].Take(c, glass); err != nil {
		t.Fatal(err)
	}
}

func (g *trio) accept(t *testing.T, c Conn, owner netip.Addr) {
	t.Helper()
	g.serves(owner, c, true)
	if !g.nodes[owner].Accepted(c) {
		t.Fatalf("%v does not know that it was chosen for %v", owner, c)
	}
}

// A connection that was steered is like one that was handed over: it stays, it can
// be handed on, and its end is told. A hundred need one call.
func TestSteered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		for port := range uint16(100) {
			g.steer(t, connOf(port+1), reich)
		}
		g.routes(t, connOf(1), map[netip.Addr]string{
			glass: "relay to 2001:db8:2::10 via tunnelled", reich: "relayed by 2001:db8:1::10", adams: "",
		})
		if g.calls.Load() != 0 {
			t.Errorf("%d calls for a SYN", g.calls.Load())
		}
		for port := range uint16(100) {
			g.accept(t, connOf(port+1), reich)
		}
		time.Sleep(time.Second)
		if c := g.nodes[glass].Counters(); g.calls.Load() != 1 || c["half_open"] != 0 || c["entries"] != 100 || c["steered"] != 100 {
			t.Errorf("%d calls, %v", g.calls.Load(), c)
		}
		time.Sleep(time.Minute)
		if n := g.calls.Load(); n != 1 {
			t.Errorf("%d calls while nothing was due", n)
		}
		time.Sleep(time.Hour)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "relay to 2001:db8:2::10 via tunnelled", reich: "relayed by 2001:db8:1::10"})

		m, err := g.nodes[reich].Mark(connOf(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.nodes[adams].Start(t.Context(), connOf(1), m); err != nil {
			t.Fatal(err)
		}
		g.serves(reich, connOf(1), false)
		g.serves(adams, connOf(1), true)
		g.nodes[reich].Finish(connOf(1))
		g.routes(t, connOf(1), map[netip.Addr]string{
			// The former owner's late packets, for a while.
			glass: "relay to 2001:db8:3::10 via tunnelled, accepts from 2001:db8:2::10", reich: "", adams: "relayed by 2001:db8:1::10",
		})

		for port := range uint16(100) {
			g.serves(reich, connOf(port+1), false)
		}
		time.Sleep(2 * sweep)
		if c := g.nodes[glass].Counters(); c["entries"] != 1 {
			t.Errorf("after their end: %v", c)
		}
	})
}

// What never becomes a connection ends by itself at both sides; there are only so
// many, and they keep no other registration out.
func TestHalfOpenBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 3)
		for port := range uint16(3) {
			g.steer(t, connOf(port+1), reich)
		}
		if err := g.nodes[glass].Steer(connOf(4), adams); !errors.Is(err, ErrHalfOpen) {
			t.Errorf("one too many: %v", err)
		}
		if err := g.nodes[reich].Take(connOf(4), glass); !errors.Is(err, ErrHalfOpen) {
			t.Errorf("one too many at its owner: %v", err)
		}
		g.accept(t, connOf(1), reich)
		time.Sleep(time.Second)
		g.steer(t, connOf(4), reich)
		g.accept(t, connOf(4), reich)
		time.Sleep(halfOpenFor + 2*sweep)
		for a, name := range map[netip.Addr]string{glass: "half_open", reich: "half_open_here"} {
			if c := g.nodes[a].Counters(); c[name] != 0 {
				t.Errorf("%v: %v", a, c)
			}
		}
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "relay to 2001:db8:2::10 via tunnelled", reich: "relayed by 2001:db8:1::10"})
		g.routes(t, connOf(2), map[netip.Addr]string{glass: "", reich: ""})
	})
}

// A SYN whose replica dies is decided anew; a connection that was there is not
// given away.
func TestSteeredToDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.steer(t, connOf(1), reich)
		g.steer(t, connOf(2), reich)
		g.accept(t, connOf(2), reich)
		time.Sleep(time.Second)
		g.nodes[glass].Failed(contactAddr, reich)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: ""})
		g.routes(t, connOf(2), map[netip.Addr]string{glass: "relay to 2001:db8:2::10 via tunnelled"})
		g.steer(t, connOf(1), adams)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "relay to 2001:db8:3::10 via tunnelled"})
	})
}

// The client takes a port again that its former connection had: the number that
// both sides assume is used, and the owner takes another.
func TestSteeredPortAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.nodes[glass].cache.Update(time.Now(), Request{Conn: connOf(1), Owner: reich, Sequence: 7, Lifetime: time.Minute})
		if err := g.nodes[glass].Steer(connOf(1), adams); err != nil {
			t.Fatal(err) // it goes on to reich
		}
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "relay to 2001:db8:2::10 via tunnelled"})
		if err := g.nodes[reich].Take(connOf(1), glass); err != nil {
			t.Fatal(err)
		}
		g.accept(t, connOf(1), reich)
		time.Sleep(time.Hour)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "relay to 2001:db8:2::10 via tunnelled", reich: "relayed by 2001:db8:1::10"})
		if e, ok := g.entry(connOf(1)); !ok || e.Sequence != 8 || e.Owner != reich {
			t.Errorf("registered: %+v", e)
		}
	})
}

// An owner whose handoff is undecided does not take the connection back by
// confirming it.
func TestSteeredConfirmDoesNotSteal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.steer(t, connOf(1), reich)
		g.accept(t, connOf(1), reich)
		m, err := g.nodes[reich].Mark(connOf(1)) // before the anchor was told
		if err != nil {
			t.Fatal(err)
		}
		if err := g.nodes[adams].Start(t.Context(), connOf(1), m); err != nil {
			t.Fatal(err)
		}
		g.serves(adams, connOf(1), true)
		time.Sleep(10 * time.Minute) // reich hears nothing of it
		if e, ok := g.entry(connOf(1)); !ok || e.Owner != adams {
			t.Errorf("registered: %+v", e)
		}
	})
}

// Who may steer and who may take.
func TestSteerRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		stranger := netip.MustParseAddr("2001:db8:66::1")
		for name, err := range map[string]error{
			"not the contact node":       g.nodes[adams].Steer(connOf(1), reich),
			"to itself":                  g.nodes[glass].Steer(connOf(1), glass),
			"to a stranger":              g.nodes[glass].Steer(connOf(1), stranger),
			"from a stranger":            g.nodes[reich].Take(connOf(1), stranger),
			"from no contact node":       g.nodes[reich].Take(connOf(1), adams),
			"at the contact node itself": g.nodes[glass].Take(connOf(1), reich),
		} {
			if !errors.Is(err, ErrNoAnchor) {
				t.Errorf("%s: %v", name, err)
			}
		}
		broken := errors.New("broken")
		g.planes[glass].FailWith(func(planetest.Call) error { return broken })
		if err := g.nodes[glass].Steer(connOf(1), reich); !errors.Is(err, broken) {
			t.Errorf("data plane broken: %v", err)
		}
		g.planes[glass].FailWith(nil)
		if c := g.nodes[glass].Counters(); c["entries"] != 0 || c["half_open"] != 0 {
			t.Errorf("left behind: %v", c)
		}
		if _, ok := g.nodes[glass].OwnerOf(contactAddr, legacy); ok {
			t.Error("a client is known that has nothing")
		}
	})
}

// The client has come to the anchor with another connection, and takes the port of
// the first again: that is not relayed any more, whatever its owner says late.
func TestSteeredThenBoundAtAnchor(t *testing.T) {
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, 0)
			g.steer(t, connOf(1), reich)
			g.accept(t, connOf(1), reich)
			time.Sleep(time.Second)
			g.nodes[reich].SetBound(contactAddr, legacy, true)
			if told {
				time.Sleep(time.Second)
			}
			g.serves(reich, connOf(1), false)
			g.nodes[glass].SetBound(contactAddr, legacy, true)
			g.nodes[reich].SetBound(contactAddr, legacy, false)
			time.Sleep(time.Second)
			g.routes(t, connOf(1), map[netip.Addr]string{glass: ""})
			if e, ok := g.entry(connOf(1)); ok {
				t.Errorf("registered: %+v", e)
			}
		})
	}
}

// entry is what the contact node has registered.
func (g *trio) entry(c Conn) (Entry, bool) {
	n := g.nodes[glass]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cache.Lookup(time.Now(), c)
}

// A client with Mobile IPv6 that was steered is bound to its replica: what was under
// way by the anchor still arrives, for a while; then nothing of the relay is left.
func TestSteeredThenBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.steer(t, connOf(1), reich)
		g.accept(t, connOf(1), reich)
		g.nodes[reich].SetBound(contactAddr, legacy, true)
		g.routes(t, connOf(1), map[netip.Addr]string{
			glass: "relay to 2001:db8:2::10 via tunnelled", reich: "optimised, accepts from 2001:db8:1::10",
		})
		time.Sleep(2 * straightDelay) // what else there is to tell has more time
		if e, ok := g.entry(connOf(1)); !ok || !e.Late || e.HalfOpen {
			t.Errorf("registered: %+v", e)
		}
		time.Sleep(lateFor + 2*sweep)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "", reich: ""})
		if c := g.nodes[reich].Counters(); c["owned"] != 0 {
			t.Errorf("left behind: %v", c)
		}
	})
}

// Of a client that makes one connection after the other, one that is closed does not
// keep the binding from going along with the next.
func TestSteeredThenBoundAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.steer(t, connOf(1), reich)
		g.accept(t, connOf(1), reich)
		g.nodes[reich].SetBound(contactAddr, legacy, true)
		if !g.nodes[reich].AnchorsOther(connOf(2)) {
			t.Error("it does not count while it lives")
		}
		g.serves(reich, connOf(1), false)
		g.nodes[reich].Closed(connOf(1), false)
		if g.nodes[reich].AnchorsOther(connOf(2)) {
			t.Error("it counts when it is closed")
		}
	})
}

// Its SYN may have been under way when the client was bound.
func TestSteeredWhileBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.nodes[reich].SetBound(contactAddr, legacy, true)
		g.steer(t, connOf(1), reich)
		g.routes(t, connOf(1), map[netip.Addr]string{reich: "optimised, accepts from 2001:db8:1::10"}) // which lets it in
		g.accept(t, connOf(1), reich)
		time.Sleep(lateFor + 2*sweep)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "", reich: ""})
	})
}

// Such a client is handed on before the anchor has forgotten it: to a third replica
// and from there to the anchor, which knows that its register is not the authority
// any more, and keeps what the new donor sends. Of a client that is not bound it
// takes no stranger's word.
func TestSteeredThenBoundMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		g.steer(t, connOf(1), reich)
		g.accept(t, connOf(1), reich)
		time.Sleep(time.Second)
		if err := g.nodes[glass].Expect(connOf(1), adams, false); !errors.Is(err, ErrNotOwner) {
			t.Errorf("offered by who has it not: %v", err)
		}
		g.nodes[reich].SetBound(contactAddr, legacy, true)
		time.Sleep(time.Second)

		// To adams: what is late at the anchor goes to reich, and from there after the client.
		if err := errors.Join(g.nodes[adams].Expect(connOf(1), reich, true), g.nodes[reich].Divert(connOf(1), adams)); err != nil {
			t.Fatal(err)
		}
		g.routes(t, connOf(1), map[netip.Addr]string{
			reich: "relay to 2001:db8:3::10 via optimised, accepts from 2001:db8:1::10",
		})
		g.nodes[adams].SetBound(contactAddr, legacy, true)
		g.nodes[reich].Left(connOf(1))
		g.nodes[reich].SetBound(contactAddr, legacy, false)
		g.serves(reich, connOf(1), false)
		g.serves(adams, connOf(1), true)
		if err := g.nodes[adams].Open(connOf(1), reich); err != nil {
			t.Fatal(err)
		}

		// To the anchor.
		if err := g.nodes[glass].Expect(connOf(1), adams, false); err != nil {
			t.Fatal(err)
		}
		g.routes(t, connOf(1), map[netip.Addr]string{
			glass: "held, kept, accepts from 2001:db8:3::10",
		})
		g.nodes[glass].SetBound(contactAddr, legacy, true)
		g.nodes[glass].Straight(connOf(1))
		g.serves(glass, connOf(1), true)
		if err := g.nodes[glass].Open(connOf(1), adams); err != nil {
			t.Fatal(err)
		}
		g.nodes[adams].SetBound(contactAddr, legacy, false)
		g.serves(adams, connOf(1), false)
		time.Sleep(5 * time.Minute)
		g.routes(t, connOf(1), map[netip.Addr]string{glass: "", reich: "", adams: ""})
		if _, ok := g.entry(connOf(1)); ok {
			t.Error("still registered")
		}
	})
}
