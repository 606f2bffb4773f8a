package anycast

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// numbered is one of many clients.
func numbered(n int) pair {
	a := modern.As16()
	binary.BigEndian.PutUint32(a[12:], uint32(n+1))
	return pair{Home: contactAddr, Client: netip.AddrFrom16(a)}
}

// Each contact address asks for its own lifetimes, at the home agent and at
// clients.
func TestLifetimesPerContact(t *testing.T) {
	w := newWorld(t)
	for _, ct := range []Contact{
		{Address: contactAddr, HomeAgent: homeAgent, HomeLifetime: 100 * time.Second, BindingLifetime: 40 * time.Second},
		{Address: otherContact, HomeAgent: homeAgent, HomeLifetime: 200 * time.Second, BindingLifetime: 80 * time.Second},
		{Address: thirdContact, HomeAgent: homeAgent},
	} {
		w.passive(ct)
	}
	for _, tc := range []struct {
		contact       netip.Addr
		home, binding time.Duration
	}{
		{contactAddr, 100 * time.Second, 40 * time.Second},
		{otherContact, 200 * time.Second, 80 * time.Second},
		{thirdContact, DefaultHomeLifetime, DefaultBindingLifetime},
	} {
		w.core.activate(w.now, w.id(), tc.contact, nil)
		sent := w.core.take()
		bu := sent[0].(sendAction).message.(*mipv6.BindingUpdate)
		if !bu.HomeRegistration || bu.Lifetime != tc.home {
			t.Errorf("%v registers with %+v, want %v", tc.contact, bu, tc.home)
		}
		if got := w.core.bindParams(tc.contact).Lifetime; got != tc.binding {
			t.Errorf("%v binds clients for %v, want %v", tc.contact, got, tc.binding)
		}
	}
}

// A client at the home agent's own address is told nothing: its binding would be
// taken for the home registration. Nor is the contact address its own client.
func TestClientsWithoutBinding(t *testing.T) {
	for _, client := range []netip.Addr{homeAgent, contactAddr} {
		w := newWorld(t)
		w.passive(Contact{Address: contactAddr, HomeAgent: homeAgent, ContactNodes: []netip.Addr{reich}})
		p := pair{Home: contactAddr, Client: client}
		for _, do := range []func(id opID){
			func(id opID) { w.core.probe(w.now, id, p) },
			func(id opID) { w.core.bind(w.now, id, p) },
			func(id opID) { w.core.start(w.now, id, p, reich, Mark{Sequence: 7}, time.Time{}) },
			func(id opID) { w.core.reclaim(w.now, id, p, Mark{Sequence: 7}) },
		} {
			do(w.id())
			actions := w.core.take()
			if len(actions) != 1 {
				t.Fatalf("client %v: %v", client, actions)
			}
			if done, ok := actions[0].(doneAction); !ok || !errors.Is(done.err, ErrNoMobileIPv6) {
				t.Errorf("client %v: %v", client, actions[0])
			}
		}
		if _, err := w.core.mark(w.now, p); !errors.Is(err, ErrNoMobileIPv6) {
			t.Errorf("mark of client %v: %v", client, err)
		}
		if len(w.core.clients) != 0 || w.core.list.Len() != 0 {
			t.Errorf("client %v is remembered", client)
		}
	}
}

// What is remembered of clients is bounded; those that matter are not forgotten.
func TestClientTableIsBounded(t *testing.T) {
	w := newWorld(t)
	w.passive(Contact{Address: contactAddr, HomeAgent: homeAgent, ContactNodes: []netip.Addr{reich}})
	limit := w.core.cfg.maxClients
	for n := range 10 * limit {
		w.now = w.now.Add(time.Second)
		if _, err := w.core.mark(w.now, numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.core.clients) > limit || w.core.list.Len() > limit {
		t.Errorf("%d clients and %d numbers are kept", len(w.core.clients), w.core.list.Len())
	}
	if w.core.clients[numbered(10*limit-1)] == nil {
		t.Error("the newest is forgotten")
	}
	for n := range limit {
		w.core.hold(w.now, w.id(), numbered(n), true)
	}
	w.settle()
	if _, err := w.core.mark(w.now, numbered(limit)); !errors.Is(err, ErrTableFull) {
		t.Errorf("beyond the bound: %v", err)
	}
}

// The contact node's waiters for one client are bounded.
func TestWaitersAreBounded(t *testing.T) {
	w := newWorld(t)
	for _, cmd := range [][]string{{"passive"}, {"active"}, {"answer", "BU"}} {
		if err := w.command(cmd); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * maxWaiters {
		w.core.relayed(w.now, w.id(), reich, testPair)
	}
	w.settle()
	if n := len(w.core.clients[testPair].waiters); n != maxWaiters {
		t.Errorf("%d wait", n)
	}
	w.core.remove(w.now, contactAddr)
	w.settle()
	w.checkInvariants()
	if w.core.relay.Len() != 0 || w.core.list.Len() != 0 || len(w.core.clients) != 0 {
		t.Error("removed, but something is left")
	}
}

// Acknowledgements that are not authentic change nothing.
func TestForgedAcknowledgements(t *testing.T) {
	w := newWorld(t)
	for _, cmd := range [][]string{{"passive"}, {"active"}, {"answer", "BU"}, {"bind"}, {"answer", "HoTI"}, {"answer", "CoTI"}} {
		if err := w.command(cmd); err != nil {
			t.Fatal(err)
		}
	}
	w.take()
	o := w.core.clients[testPair].op
	u, _ := w.core.list.Get(target(testPair))
	from := mhsock.Received{Src: modern, Dst: contactAddr}
	accept := &mipv6.BindingAcknowledgement{Sequence: u.Sequence, Lifetime: 420 * time.Second}
	good := func(d []byte) mipv6.Authenticator { return rr.Authenticate(o.keys.Kbm(), glass, modern, d) }
	for _, tc := range []struct {
		name string
		r    mhsock.Received
		m    *mipv6.BindingAcknowledgement
		mac  func([]byte) mipv6.Authenticator
		want string // the counter
	}{
		{"no authenticator", from, accept, nil, CounterUnauthentic},
		{"a wrong key", from, accept, func(d []byte) mipv6.Authenticator { return rr.Authenticate(rr.Key{}, glass, modern, d) }, CounterUnauthentic},
		{"the key of a deletion", from, accept, func(d []byte) mipv6.Authenticator {
			return rr.Authenticate(o.keys.KbmDelete(), contactAddr, modern, d)
		}, CounterUnauthentic},
		{"another care-of address", from, accept, func(d []byte) mipv6.Authenticator { return rr.Authenticate(o.keys.Kbm(), reich, modern, d) }, CounterUnauthentic},
		{"another client", mhsock.Received{Src: adams, Dst: contactAddr}, accept, good, CounterUnexpected},
		{"a number never sent", from, &mipv6.BindingAcknowledgement{Sequence: u.Sequence + 1, Lifetime: 420 * time.Second}, good, CounterUnexpected},
		{"a Home Address option §6.1", mhsock.Received{Src: modern, Dst: contactAddr, CareOf: reich}, accept, good, CounterInvalid},
		{"expired nonces with a number never sent", from,
			&mipv6.BindingAcknowledgement{Status: mipv6.StatusExpiredNonces, Sequence: u.Sequence + 1}, nil, CounterUnexpected},
		{"out of window, not authenticated", from,
			&mipv6.BindingAcknowledgement{Status: mipv6.StatusSequenceOutOfWindow, Sequence: u.Sequence}, nil, CounterUnauthentic},
	} {
		before := w.core.counters[tc.want]
		w.receiveAuthenticated(tc.r, tc.m, tc.mac)
		w.settle()
		if out := w.take(); len(out) != 0 {
			t.Errorf("%s: %v", tc.name, out)
		}
		if n := w.core.counters[tc.want] - before; n != 1 {
			t.Errorf("%s: %s counted %d times: %v", tc.name, tc.want, n, w.core.counters)
		}
	}
	accepted := w.core.counters[CounterAccepted]
	w.receiveAuthenticated(from, accept, good)
	w.settle()
	if w.core.counters[CounterAccepted] != accepted+1 {
		t.Errorf("the authentic one was not counted: %v", w.core.counters)
	}
	w.receiveAuthenticated(from, accept, good) // replayed
	if w.core.counters[CounterAccepted] != accepted+1 || w.core.counters[CounterUnexpected] == 0 {
		t.Errorf("a replay was taken for an answer: %v", w.core.counters)
	}
	if u, _ := w.core.list.Get(target(testPair)); u.State.String() != "bound" {
		t.Errorf("the authentic one: %v", u.State)
	}
}

// Whatever arrives, the core does not fall over and keeps its books.
func FuzzReceive(f *testing.F) {
	for _, m := range []mipv6.Message{
		&mipv6.HomeTest{}, &mipv6.CareOfTest{}, &mipv6.BindingAcknowledgement{Status: mipv6.StatusExpiredNonces},
		&mipv6.BindingRefreshRequest{}, &mipv6.BindingError{Status: mipv6.UnknownBinding, Home: contactAddr},
	} {
		b, err := mipv6.Marshal(m, modern, contactAddr)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, to, state uint8) {
		w := newWorld(t)
		cmds := [][]string{
			{"passive", "reich"}, {"active"}, {"answer", "BU"}, {"bind"}, {"answer", "HoTI"}, {"answer", "CoTI"},
			{"answer", "BU"}, {"clear"}, {"advance", "1s"},
		}
		for _, cmd := range cmds[:1+int(state)%len(cmds)] {
			if err := w.command(cmd); err != nil {
				t.Fatal(err)
			}
		}
		addrs := []netip.Addr{contactAddr, glass, modern, homeAgent}
		r := mhsock.Received{Src: addrs[to>>2%4], Dst: addrs[to%4], Message: b}
		w.core.receive(w.now, r)
		w.core.icmp(w.now, mhsock.ICMPError{
			From: modern, Dst: modern, Src: addrs[to%4], Type: mhsock.TypeParameterProblem,
			Code: mhsock.CodeUnrecognizedNextHeader, Mobility: true, Payload: b,
		})
		w.settle()
		w.advance(time.Minute)
		w.checkInvariants()
	})
}
