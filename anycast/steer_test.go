package anycast

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/relay"
)

func flowOf(port uint16) dataplane.Flow {
	return dataplane.Flow{Home: contactAddr, HomePort: 4000, Client: modern, ClientPort: port}
}

// syn has a SYN come to a replica, as its data plane would report it.
func (l *lab) syn(at netip.Addr, from netip.Addr, port uint16) {
	l.replicas[at].plane.Emit(dataplane.Event{Kind: dataplane.NewConnection, Source: from, Dest: at, Home: contactAddr, Flow: flowOf(port)})
	synctest.Wait()
}

// delivered counts how often the data plane was told that a connection is its own.
func delivered(p *planetest.Plane, f dataplane.Flow) (n int) {
	for _, c := range p.Calls() {
		if c.Method == "RemoveRoute" && c.Object == f {
			n++
		}
	}
	return n
}

// A client with Mobile IPv6 is steered at its SYN and then bound to the replica that
// it was steered to: its packets go straight, and its next connections follow it.
func TestSteeredClientIsBound(t *testing.T) {
	chosen := map[uint16]netip.Addr{1: adams, 2: reich, 3: glass}
	var told []netip.Addr
	inLabOf(t, func(c relay.Conn, served netip.Addr) netip.Addr {
		told = append(told, served)
		if served.IsValid() {
			return served
		}
		return chosen[c.Client.Port()]
	}, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		for a, r := range l.replicas {
			c := r.plane.State().Contacts[0]
			if !c.Steer.Has(4000) || c.Relays.Has(glass) == (a == glass) || c.Relays.Has(adams) {
				t.Errorf("%v declares %+v", a, c)
			}
		}
		l.syn(glass, homeAgent, 1)
		if r := l.replicas[glass].plane.State().Routes[flowOf(1)]; r.Kind != dataplane.RelayTo || r.Peer != adams {
			t.Errorf("at the contact node %v", r)
		}
		l.syn(adams, glass, 1)
		if r := l.replicas[adams].plane.State().Routes[flowOf(1)]; r.Kind != dataplane.Relayed || r.Peer != glass {
			t.Errorf("at its replica %v", r)
		}
		local, remote := netip.AddrPortFrom(contactAddr, 4000), netip.AddrPortFrom(modern, 1)
		if !l.replicas[adams].addr.Steered(local, remote) || l.replicas[reich].addr.Steered(local, remote) {
			t.Error("who was chosen for the connection is not known")
		}
		l.syn(glass, homeAgent, 2) // before it is bound
		if r := l.replicas[glass].plane.State().Routes[flowOf(2)]; r.Peer != adams {
			t.Errorf("its second connection: %v", r)
		}
		must(t, l.replicas[adams].addr.Bind(l.ctx, modern))
		if l.boundTo() != adams || l.route(l.replicas[adams]) != dataplane.Optimised {
			t.Errorf("bound to %v", l.boundTo())
		}
		conn := l.replicas[adams].addr.Connection(local, remote)
		if conn.IsRelayed() {
			t.Error("would be handed off by relaying")
		}
		// It comes to the contact node, which relayed it until now.
		m, err := conn.Mark()
		must(t, err)
		back := l.replicas[glass].addr.Connection(local, remote)
		must(t, back.Start(l.ctx, adams, m))
		if r, ok := l.replicas[glass].plane.State().Routes[flowOf(1)]; ok || l.route(l.replicas[glass]) != dataplane.Optimised {
			t.Errorf("the contact node serves it, but its route is %v", r)
		}
		conn.Finish()
		time.Sleep(10 * time.Minute)
		for a, r := range l.replicas {
			for f, route := range r.plane.State().Routes {
				if f.IsConnection() {
					t.Errorf("%v has a route left: %v: %v", a, f, route)
				}
			}
		}
		if want := []netip.Addr{{}, adams}; len(told) != 2 || told[0] != want[0] || told[1] != want[1] {
			t.Errorf("asked with %v", told)
		}
	})
}

// Who has no Mobile IPv6 is free: each connection is chosen for by itself. What is to
// be served here, and what cannot be steered, is delivered.
func TestSteeredImmobile(t *testing.T) {
	inLabOf(t, func(c relay.Conn, served netip.Addr) netip.Addr {
		if served.IsValid() {
			t.Errorf("%v has to stay with %v", c, served)
		}
		return map[uint16]netip.Addr{1: adams, 2: reich, 3: glass, 5: netip.MustParseAddr("2001:db8:66::1")}[c.Client.Port()]
	}, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		l.replicas[glass].addr.Immobile(modern)
		for port := range uint16(5) {
			l.syn(glass, homeAgent, port+1)
		}
		s := l.replicas[glass].plane.State()
		if len(s.Routes) != 2 || s.Routes[flowOf(1)].Peer != adams || s.Routes[flowOf(2)].Peer != reich {
			t.Errorf("routes %v", s.Routes)
		}
		for port, want := range map[uint16]int{1: 0, 3: 1, 4: 1, 5: 1} {
			if got := delivered(l.replicas[glass].plane, flowOf(port)); got != want {
				t.Errorf("port %d: delivered %d times, want %d", port, got, want)
			}
		}
		// At a replica that is no contact node: what the home agent sends there, or a
		// stranger, is not waited for.
		l.syn(adams, homeAgent, 7)
		l.syn(adams, reich, 8) // may be contact node
		l.syn(adams, netip.MustParseAddr("2001:db8:66::1"), 9)
		for port, want := range map[uint16]int{7: 1, 8: 0, 9: 1} {
			if got := delivered(l.replicas[adams].plane, flowOf(port)); got != want {
				t.Errorf("at adams, port %d: delivered %d times, want %d", port, got, want)
			}
		}
		l.replicas[glass].addr.ReplicaFailed(adams)
		l.replicas[adams].down.Store(true)
		if s := l.replicas[glass].plane.State(); len(s.Routes) != 1 {
			t.Errorf("after adams failed: %v", s.Routes)
		}
		l.replicas[adams].down.Store(false)
	})
}
