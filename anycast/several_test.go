package anycast

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

func modernConn(port uint16) relay.Conn {
	return relay.Conn{Contact: netip.AddrPortFrom(contactAddr, 4000), Client: netip.AddrPortFrom(modern, port)}
}

// several is a lab in which the client is bound to reich, where it has two
// connections.
func several(t *testing.T, f func(t *testing.T, l *lab)) {
	inLabWith(t, func(l *lab) { l.relaying = true }, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		must(t, l.replicas[reich].addr.Start(l.ctx, modern, glass, Mark{Sequence: 7}))
		l.replicas[reich].lives(modernConn(1), modernConn(2))
		f(t, l)
		for _, r := range l.replicas {
			r.lives()
		}
	})
}

// move hands a connection off, alone.
func (l *lab) move(from, to netip.Addr, c relay.Conn) {
	l.t.Helper()
	donor, acceptor := l.replicas[from], l.replicas[to]
	d, a := donor.addr.Connection(c.Contact, c.Client), acceptor.addr.Connection(c.Contact, c.Client)
	if !d.Settle() {
		l.t.Errorf("%v would move all", c)
	}
	m, err := d.Mark()
	must(l.t, err)
	if !m.Relayed || m.Immobile {
		l.t.Errorf("mark %+v", m)
	}
	must(l.t, a.Prepare(l.ctx, m))
	must(l.t, a.Undo())
	must(l.t, a.Start(l.ctx, from, m))
	if a.IsImmobile() {
		l.t.Error("the client is thought to have no Mobile IPv6")
	}
	acceptor.lives(append(acceptor.connections(contactAddr), c)...)
	d.Finish()
	donor.lives(slices.DeleteFunc(donor.connections(contactAddr), func(o relay.Conn) bool { return o == c })...)
}

func (l *lab) shows(at netip.Addr, f dataplane.Flow, want string) {
	l.t.Helper()
	got := "none"
	if r, ok := l.replicas[at].plane.State().Routes[f]; ok {
		got = r.String()
	}
	if got != want {
		l.t.Errorf("at %v %v is %q, want %q", at, f, got, want)
	}
}

// One of two connections moves, and the client hears nothing of it; the other
// follows, and then the binding does, once.
func TestSeveralConnections(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		before := l.binding()
		l.move(reich, adams, modernConn(1))
		if after := l.binding(); after.CareOf != reich || after.Sequence != before.Sequence {
			t.Errorf("the client was told: %+v", after)
		}
		l.shows(reich, modernConn(1).Flow(), "relay to 2001:db8:3::10 via optimised")
		l.shows(adams, modernConn(1).Flow(), "relayed by 2001:db8:2::10")
		l.replicas[reich].addr.Vacated(modern) // not so
		synctest.Wait()
		l.move(reich, adams, modernConn(2))
		l.replicas[reich].addr.Vacated(modern)
		synctest.Wait()
		after := l.binding()
		if after.CareOf != adams || after.Sequence != before.Sequence+1 {
			t.Fatalf("the binding is %+v, was %+v", after, before)
		}
		l.shows(adams, modernConn(1).Flow(), "optimised, accepts from 2001:db8:2::10")
		l.shows(reich, modernConn(1).Flow(), "relay to 2001:db8:3::10 via tunnelled")
		// It lasts, and is refreshed by adams.
		time.Sleep(15 * time.Minute)
		if l.boundTo() != adams {
			t.Errorf("after a while the client sends to %v", l.boundTo())
		}
		for _, f := range []dataplane.Flow{modernConn(1).Flow(), modernConn(1).Flow().ClientFlow()} {
			l.shows(reich, f, "none")
		}
		// The last one alone takes the binding along.
		l.move(adams, glass, modernConn(1))
		l.replicas[glass].lives()
		time.Sleep(3 * time.Minute)
		c := l.replicas[adams].addr.Connection(modernConn(2).Contact, modernConn(2).Client)
		if c.Settle() {
			t.Error("the only connection left is relayed")
		}
	})
}

// As long as it relays a connection an anchor keeps the binding, though it serves
// none itself; where nobody takes it over.
func TestAnchorKeepsBinding(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		l.move(reich, adams, modernConn(1))
		l.replicas[reich].lives()
		l.net.Filter(func(p *mipv6.Packet) bool { // adams cannot do return routability
			typ, ok := mipv6.PeekType(p.Payload)
			return !ok || p.Src != adams || typ != mipv6.TypeCareOfTestInit
		})
		time.Sleep(15 * time.Minute)
		if l.boundTo() != reich {
			t.Fatalf("the client sends to %v", l.boundTo())
		}
		l.shows(reich, modernConn(1).Flow(), "relay to 2001:db8:3::10 via optimised")
		l.net.Filter(nil)
		time.Sleep(time.Minute)
		if l.boundTo() != adams {
			t.Errorf("now the client sends to %v", l.boundTo())
		}
	})
}

// A client's acknowledgement is lost for good: the binding is the old anchor's
// again, and the connections go on.
func TestCedeTouched(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		l.move(reich, adams, modernConn(1))
		l.net.Filter(func(p *mipv6.Packet) bool {
			typ, ok := mipv6.PeekType(p.Payload)
			return !ok || p.Dst != adams || typ != mipv6.TypeBindingAcknowledgement
		})
		if err := l.replicas[reich].addr.Cede(l.ctx, modern, adams); err == nil {
			t.Error("ceded")
		}
		l.net.Filter(nil)
		synctest.Wait()
		if l.boundTo() != reich {
			t.Errorf("the client sends to %v", l.boundTo())
		}
		l.shows(reich, modernConn(1).Flow(), "relay to 2001:db8:3::10 via optimised")
		l.shows(adams, modernConn(1).Flow(), "relayed by 2001:db8:2::10")
	})
}

// The anchor dies: an owner binds the client to itself. What it does not know of the
// client meets silence for a while.
func TestAnchorDies(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		l.move(reich, adams, modernConn(1))
		l.replicas[reich].down.Store(true)
		for i := 0; l.boundTo() != adams && i < 60; i++ {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if l.boundTo() != adams {
			t.Fatalf("the client sends to %v", l.boundTo())
		}
		l.shows(adams, modernConn(1).Flow().ClientFlow(), "held")
		l.shows(adams, modernConn(1).Flow(), "optimised, accepts from 2001:db8:2::10")
		time.Sleep(2 * time.Minute)
		l.shows(adams, modernConn(1).Flow().ClientFlow(), "optimised")
		l.shows(adams, modernConn(1).Flow(), "none")
		l.replicas[reich].lives()
		l.replicas[reich].down.Store(false)
	})
}

// A replica that leaves gives the bindings of those that it relays to their owners.
func TestCloseCedes(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		l.move(reich, adams, modernConn(1))
		l.replicas[reich].lives()
		must(t, l.replicas[reich].addr.Close(l.ctx))
		synctest.Wait() // what adams does not know of reich it has asked for
		if l.boundTo() != adams {
			t.Errorf("the client sends to %v", l.boundTo())
		}
		l.shows(adams, modernConn(1).Flow().ClientFlow(), "optimised")
	})
}

func TestBindingCallEncoding(t *testing.T) {
	want := []relay.Entry{{Conn: modernConn(1), Owner: adams, Sequence: 9}, {Conn: modernConn(2), Owner: reich}}
	b, err := marshalBinding(testPair, Mark{Sequence: 7, Bound: true}, want)
	must(t, err)
	p, m, all, err := parseBinding(b)
	if err != nil || p != testPair || m.Sequence != 7 || !m.Bound || !slices.Equal(all, want) {
		t.Errorf("%v %+v %v %v", p, m, all, err)
	}
	relayed, err := marshalBinding(testPair, Mark{Relayed: true}, nil)
	must(t, err)
	long := slices.Clone(b)
	long[requestLen] = 0xff
	for name, b := range map[string][]byte{"empty": nil, "cut": b[:len(b)-1], "too long": append(slices.Clone(b), 0), "mark": long, "relayed": relayed} {
		if _, _, _, err := parseBinding(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, b := range [][]byte{nil, {byte(bindingAnswers)}, {0, 0}} {
		if _, err := parseBindingAnswer(b); err == nil {
			t.Errorf("answer % x: taken", b)
		}
	}
}

func FuzzBinding(f *testing.F) {
	b, err := marshalBinding(testPair, Mark{Sequence: 7, Bound: true}, []relay.Entry{{Conn: modernConn(1), Owner: adams}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, m, all, err := parseBinding(b)
		if err != nil {
			return
		}
		if again, err := marshalBinding(p, m, all); err != nil || !slices.Equal(again, b) {
			t.Errorf("% x became % x (%v)", b, again, err)
		}
	})
}

// The binding goes around and comes back, as fast as clients may be told.
func TestBindingGoesAround(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		from := reich
		for _, to := range []netip.Addr{adams, reich, adams, glass, reich, adams} {
			for _, c := range []relay.Conn{modernConn(1), modernConn(2)} {
				l.move(from, to, c)
			}
			l.replicas[from].addr.Vacated(modern)
			time.Sleep(2 * time.Second)
			if l.boundTo() != to {
				t.Fatalf("the client sends to %v, not %v", l.boundTo(), to)
			}
			l.shows(to, modernConn(1).Flow().ClientFlow(), "optimised")
			l.shows(to, modernConn(1).Flow(), "optimised, accepts from "+from.String())
			from = to
		}
		for range 40 {
			time.Sleep(5 * time.Second)
			l.shows(adams, modernConn(1).Flow().ClientFlow(), "optimised")
			if l.boundTo() != adams {
				t.Fatalf("the client sends to %v", l.boundTo())
			}
		}
	})
}

// carry is move with all that a seamless handoff does with the packets meanwhile.
func (l *lab) carry(from, to netip.Addr, c relay.Conn) {
	l.t.Helper()
	donor, acceptor := l.replicas[from], l.replicas[to]
	d, a := donor.addr.Connection(c.Contact, c.Client), acceptor.addr.Connection(c.Contact, c.Client)
	d.Settle()
	must(l.t, a.Expect(from, false))
	must(l.t, d.Divert(to))
	m, err := d.Mark()
	must(l.t, err)
	must(l.t, a.Start(l.ctx, from, m))
	must(l.t, a.Open(from))
	acceptor.lives(append(acceptor.connections(contactAddr), c)...)
	d.Finish()
	d.Left()
	donor.lives(slices.DeleteFunc(donor.connections(contactAddr), func(o relay.Conn) bool { return o == c })...)
	if len(donor.connections(contactAddr)) == 0 {
		donor.addr.Vacated(modern)
		time.Sleep(time.Second)
	}
}

// Three connections go to and fro, and the binding after them; what earlier handoffs
// left behind is in nobody's way.
func TestConnectionsToAndFro(t *testing.T) {
	several(t, func(t *testing.T, l *lab) {
		one, two, three := modernConn(1), modernConn(2), modernConn(3)
		l.replicas[reich].lives(one, two, three)
		for _, s := range []struct {
			from, to netip.Addr
			c        relay.Conn
		}{
			{reich, glass, two}, {reich, adams, three}, {reich, adams, one}, {adams, reich, three}, {adams, reich, one},
			{glass, reich, two}, {reich, glass, one}, {reich, adams, two}, {reich, adams, three},
		} {
			l.carry(s.from, s.to, s.c)
		}
		if l.boundTo() != adams {
			t.Fatalf("the client sends to %v", l.boundTo())
		}
		for range 40 {
			l.shows(adams, one.Flow().ClientFlow(), "optimised")
			if r := l.replicas[adams].plane.State().Routes[one.Flow()]; r.Kind != dataplane.RelayTo || r.Peer != glass || r.Via != dataplane.Optimised {
				t.Fatalf("at adams: %v", r)
			}
			if r := l.replicas[glass].plane.State().Routes[one.Flow()]; r.Kind != dataplane.Relayed || r.Peer != adams {
				t.Fatalf("at glass: %v", r)
			}
			for _, c := range []relay.Conn{two, three} {
				if r, ok := l.replicas[adams].plane.State().Routes[c.Flow()]; ok && r.Kind != dataplane.Optimised {
					t.Fatalf("at adams: %v", r)
				}
			}
			time.Sleep(5 * time.Second)
		}
	})
}
