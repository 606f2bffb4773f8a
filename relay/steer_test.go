package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	calls  int
	cut    map[netip.Addr]bool
}

type end struct {
	g    *trio
	from netip.Addr
}

func (e end) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	e.g.calls++
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
	for _, a := range all {
		p := planetest.New()
		if err := p.SetContact(dataplane.Contact{Home: contactAddr, CareOf: a, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}); err != nil {
			t.Fatal(err)
		}
		g.planes[a], g.live[a] = p, map[Conn]bool{}
		n := New(Config{Self: a, MaxHalfOpen: halfOpen, InUse: func(c Conn) bool { return g.live[a][c] }}, Deps{Plane: p, Peers: end{g, a}})
		n.Add(Contact{Address: contactAddr, ContactNodes: all[:2], Replicas: all})
		n.SetContactNode(contactAddr, glass)
		g.nodes[a] = n
		go n.Run(ctx)
	}
	t.Cleanup(func() {
		cancel()
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
	g.live[owner][c] = true
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
		if g.calls != 0 {
			t.Errorf("%d calls for a SYN", g.calls)
		}
		for port := range uint16(100) {
			g.accept(t, connOf(port+1), reich)
		}
		time.Sleep(time.Second)
		if c := g.nodes[glass].Counters(); g.calls != 1 || c["half_open"] != 0 || c["entries"] != 100 || c["steered"] != 100 {
			t.Errorf("%d calls, %v", g.calls, c)
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
		g.live[reich][connOf(1)], g.live[adams][connOf(1)] = false, true
		g.nodes[reich].Finish(connOf(1))
		g.routes(t, connOf(1), map[netip.Addr]string{
			glass: "relay to 2001:db8:3::10 via tunnelled", reich: "", adams: "relayed by 2001:db8:1::10",
		})

		clear(g.live[reich])
		time.Sleep(5 * time.Minute)
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
		g.nodes[glass].cache.Update(time.Now(), Request{connOf(1), reich, 7, time.Minute})
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
		if e, ok := g.nodes[glass].cache.Lookup(time.Now(), connOf(1)); !ok || e.Sequence != 8 || e.Owner != reich {
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
		g.live[adams][connOf(1)] = true
		time.Sleep(10 * time.Minute) // reich hears nothing of it
		if e, ok := g.nodes[glass].cache.Lookup(time.Now(), connOf(1)); !ok || e.Owner != adams {
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
