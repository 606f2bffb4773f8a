package relay

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/peer"
)

// group is three replicas of one contact address with a channel between them.
type group struct {
	t     *testing.T
	nodes map[netip.Addr]*member
}

type member struct {
	*Node
	plane *planetest.Plane
	down  atomic.Bool
	late  atomic.Bool // announcements are not believed

	mu      sync.Mutex
	local   []Conn
	vacant  []netip.Addr // owners of vacant clients
	orphans int
}

type groupCaller struct {
	g    *group
	from netip.Addr
}

func (c groupCaller) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	m := c.g.nodes[to]
	if m == nil || m.down.Load() || c.g.nodes[c.from].down.Load() {
		return nil, peer.ErrUnreachable
	}
	switch kind {
	case peer.KindAnchor:
		return m.HandleAnchor(ctx, c.from, req)
	case peer.KindBound:
		return m.HandleBound(ctx, c.from, req)
	}
	return m.HandleUpdates(ctx, c.from, req)
}

// inGroup runs f in a bubble with glass, reich and adams, of which glass is contact
// node.
func inGroup(t *testing.T, f func(g *group)) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t, map[netip.Addr]*member{}}
		ctx, cancel := context.WithCancel(t.Context())
		all := []netip.Addr{glass, reich, adams}
		for _, a := range all {
			m := &member{plane: planetest.New()}
			m.Node = New(Config{
				Self: a,
				InUse: func(c Conn) bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					for _, l := range m.local {
						if l == c {
							return true
						}
					}
					return false
				},
				Local: func(netip.Addr) []Conn {
					m.mu.Lock()
					defer m.mu.Unlock()
					return append([]Conn(nil), m.local...)
				},
				Vacant: func(_, _, owner netip.Addr) {
					m.mu.Lock()
					defer m.mu.Unlock()
					m.vacant = append(m.vacant, owner)
				},
				Orphaned: func(_, _ netip.Addr) {
					m.mu.Lock()
					defer m.mu.Unlock()
					m.orphans++
				},
				Moved: func(_, _ netip.Addr, _ uint16) bool { return !m.late.Load() },
			}, Deps{Plane: m.plane, Peers: groupCaller{g, a}})
			if err := m.plane.SetContact(dataplane.Contact{Home: contactAddr, CareOf: a, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}); err != nil {
				t.Fatal(err)
			}
			m.Add(Contact{Address: contactAddr, ContactNodes: []netip.Addr{glass, reich}, Replicas: all})
			m.SetContactNode(contactAddr, glass)
			g.nodes[a] = m
		}
		for _, m := range g.nodes {
			go m.Run(ctx)
		}
		f(g)
		cancel()
		for _, m := range g.nodes {
			m.Close()
		}
	})
}

// serve has a replica serve a connection that it got from glass.
func (g *group) serve(at netip.Addr, c Conn) {
	g.t.Helper()
	m := g.nodes[at]
	m.mu.Lock()
	m.local = append(m.local, c)
	m.mu.Unlock()
	if at == glass {
		return
	}
	if err := m.Start(g.t.Context(), c, Mark{Sequence: 7, Anchor: glass}); err != nil {
		g.t.Fatal(err)
	}
}

// route wants a connection's route at a replica.
func (g *group) route(at netip.Addr, c Conn, kind dataplane.RouteKind, peer netip.Addr) {
	g.t.Helper()
	if r := g.nodes[at].plane.State().Routes[c.Flow()]; r.Kind != kind || r.Peer != peer {
		g.t.Errorf("at %v the route is %v, want %v by %v", at, r, kind, peer)
	}
}

// The contact node dies, and its successor could ask and tell nobody: who hears of it
// otherwise registers by itself, with the number that it has.
func TestFollowWithoutAnnouncement(t *testing.T) {
	inGroup(t, func(g *group) {
		g.serve(adams, connOf(1))
		g.route(glass, connOf(1), dataplane.RelayTo, adams)
		g.nodes[glass].down.Store(true)
		g.nodes[reich].SetContactNode(contactAddr, reich)
		g.nodes[adams].SetContactNode(contactAddr, reich)
		synctest.Wait()
		g.route(adams, connOf(1), dataplane.Relayed, reich)
		g.route(reich, connOf(1), dataplane.RelayTo, adams)
		if e, ok := g.nodes[reich].cache.Lookup(g.nodes[reich].deps.Now(), connOf(1)); !ok || e.Sequence != 8 {
			t.Errorf("registered: %+v, %v", e, ok)
		}
	})
}

// A contact node that was overtaken, and was told so by the home agent only, has its
// own connections relayed as soon as it knows by whom.
func TestDeposed(t *testing.T) {
	inGroup(t, func(g *group) {
		g.serve(glass, connOf(1))
		g.nodes[glass].SetContactNode(contactAddr, netip.Addr{})
		synctest.Wait()
		g.nodes[reich].SetContactNode(contactAddr, reich)
		g.nodes[glass].SetContactNode(contactAddr, reich)
		synctest.Wait()
		g.route(glass, connOf(1), dataplane.Relayed, reich)
		g.route(reich, connOf(1), dataplane.RelayTo, glass)
	})
}

// Collect before, Announce after: nothing has to be registered again, and the old
// contact node goes on sending late packets to their owners.
func TestTakeOver(t *testing.T) {
	inGroup(t, func(g *group) {
		g.serve(adams, connOf(1))
		g.serve(glass, connOf(2))
		g.nodes[reich].Collect(g.t.Context(), contactAddr)
		g.route(reich, connOf(1), dataplane.RelayTo, adams)
		g.route(reich, connOf(2), dataplane.RelayTo, glass)
		g.nodes[reich].SetContactNode(contactAddr, reich)
		g.nodes[reich].Announce(g.t.Context(), contactAddr, 5)
		synctest.Wait()
		g.route(adams, connOf(1), dataplane.Relayed, reich)
		g.route(glass, connOf(2), dataplane.Relayed, reich)
		g.route(glass, connOf(1), dataplane.RelayTo, adams)
	})
}

// A replica that starts anew collects before its data plane has the contact address:
// nothing that the home agent still sends to it meets a host that knows nothing.
func TestReadyAfterCollect(t *testing.T) {
	inGroup(t, func(g *group) {
		g.serve(adams, connOf(1))
		again := g.nodes[glass]
		again.Remove(contactAddr)
		if err := again.plane.RemoveContact(contactAddr); err != nil {
			t.Fatal(err)
		}
		again.Add(Contact{Address: contactAddr, ContactNodes: []netip.Addr{glass, reich}, Replicas: []netip.Addr{glass, reich, adams}, Early: true})
		again.Collect(g.t.Context(), contactAddr)
		if routes := again.plane.State().Routes; len(routes) != 0 {
			t.Errorf("routes before the contact address: %v", routes)
		}
		if err := again.plane.SetContact(dataplane.Contact{Home: contactAddr, CareOf: glass, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}); err != nil {
			t.Fatal(err)
		}
		again.Ready(contactAddr)
		g.route(glass, connOf(1), dataplane.RelayTo, adams)
	})
}

// An announcement that is out of date changes nothing.
func TestAnnouncedTooLate(t *testing.T) {
	inGroup(t, func(g *group) {
		g.serve(adams, connOf(1))
		g.nodes[adams].late.Store(true)
		g.nodes[glass].late.Store(true)
		g.nodes[reich].Announce(g.t.Context(), contactAddr, 5)
		synctest.Wait()
		g.route(adams, connOf(1), dataplane.Relayed, glass)
		g.route(glass, connOf(1), dataplane.RelayTo, adams)
	})
}

// The contact node dies while a connection is on its way to another replica, which
// becomes contact node itself, or has a third one become it: the donor's number counts
// until the acceptor's is taken, whatever the numbers are.
func TestContactNodeLostDuringStart(t *testing.T) {
	for _, next := range []netip.Addr{reich, adams} {
		for _, first := range []uint16{7, 0x7ffe, 0x9000, 0xffff} {
			inGroup(t, func(g *group) {
				for _, m := range g.nodes {
					ct := m.contacts[contactAddr]
					ct.ContactNodes = []netip.Addr{glass, reich, adams}
				}
				c := connOf(1)
				donor, acceptor := g.nodes[adams], g.nodes[reich]
				donor.local = []Conn{c}
				if err := donor.Start(g.t.Context(), c, Mark{Sequence: first - 1, Anchor: glass}); err != nil {
					g.t.Fatal(err)
				}
				mark, err := donor.Mark(c)
				if err != nil {
					g.t.Fatal(err)
				}
				if err := acceptor.Expect(c, adams, true); err != nil {
					g.t.Fatal(err)
				}
				if err := acceptor.Through(c, adams); err != nil {
					g.t.Fatal(err)
				}
				g.nodes[glass].down.Store(true)
				started := make(chan error, 1)
				go func() { started <- acceptor.Start(g.t.Context(), c, mark) }()
				synctest.Wait()
				g.nodes[next].Collect(g.t.Context(), contactAddr)
				g.nodes[next].SetContactNode(contactAddr, next)
				g.nodes[next].Announce(g.t.Context(), contactAddr, 5)
				if err := <-started; err != nil {
					g.t.Errorf("next %v, number %#x: %v", next, mark.Sequence, err)
				}
				if e, ok := g.nodes[next].cache.Lookup(acceptor.deps.Now(), c); !ok || e.Owner != reich || e.Sequence != first+1 {
					g.t.Errorf("next %v, number %#x: registered %+v, %v", next, mark.Sequence, e, ok)
				}
			})
		}
	}
}

// The donor is the contact node, and dies before it has registered the acceptor. Who is
// contact node next, itself started anew or another, relays the connection from the
// first packet on.
func TestDonorLostDuringStart(t *testing.T) {
	inGroup(t, func(g *group) {
		c := connOf(1)
		donor, acceptor, next := g.nodes[glass], g.nodes[adams], g.nodes[reich]
		donor.local = []Conn{c}
		mark, err := donor.Mark(c)
		if err != nil {
			g.t.Fatal(err)
		}
		if err := errors.Join(acceptor.Expect(c, glass, true), acceptor.Through(c, glass)); err != nil {
			g.t.Fatal(err)
		}
		donor.down.Store(true)
		started := make(chan error, 1)
		go func() { started <- acceptor.Start(g.t.Context(), c, mark) }()
		synctest.Wait()
		next.Collect(g.t.Context(), contactAddr)
		g.route(reich, c, dataplane.RelayTo, adams)
		next.SetContactNode(contactAddr, reich)
		next.Announce(g.t.Context(), contactAddr, 5)
		if err := <-started; err != nil {
			g.t.Error(err)
		}
		if e, ok := next.cache.Lookup(next.deps.Now(), c); !ok || e.Owner != adams || e.Sequence != mark.Sequence+1 {
			g.t.Errorf("registered %+v, %v", e, ok)
		}
	})
}
