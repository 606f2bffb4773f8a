package ipsec_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
)

// world is a replica and a home agent with keys, and a client without, on an
// in-memory network. What clients send to the contact address reaches the home
// agent as the data plane hands it over.
type world struct {
	network                *mhtest.Network
	replicaHost, agentHost *mhtest.Host
	replica, agent, client mhsock.Conn
	re, ae                 *ipsec.Endpoint
	rm, am                 *memory
	plane                  *planetest.Plane
	taken                  chan []byte
}

func newWorld(t *testing.T, g ...ipsec.Generation) *world {
	t.Helper()
	w := &world{network: mhtest.NewNetwork(), rm: &memory{generations: g}, am: &memory{generations: g}, taken: make(chan []byte, 16), plane: planetest.New()}
	w.replicaHost, w.agentHost = w.network.Host(pair.CareOf), w.network.Host(pair.HomeAgent)
	w.client = w.network.Host(clientAddr)
	w.start(t)
	t.Cleanup(func() { w.stop(t) })
	return w
}

// start is also a restart: it takes what the stores have.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.re = newEndpoint(t, ipsec.Replica, w.rm, w.rm.generations...)
	w.ae = newEndpoint(t, ipsec.HomeAgent, w.am, w.am.generations...)
	w.replica = ipsec.NewConn(w.re, w.replicaHost, w.replicaHost.ESP())
	c := ipsec.NewConn(w.ae, w.agentHost, w.agentHost.ESP())
	c.Forward(w.taken)
	w.agent = c
}

func (w *world) stop(t *testing.T) {
	t.Helper()
	for _, c := range []mhsock.Conn{w.replica, w.agent} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// restart is of both processes; the sockets of the hosts are new.
func (w *world) restart(t *testing.T) {
	t.Helper()
	w.stop(t)
	w.replicaHost, w.agentHost = w.network.Host(pair.CareOf), w.network.Host(pair.HomeAgent)
	w.start(t)
}

func (w *world) register(t *testing.T) {
	t.Helper()
	if err := ipsec.NewPlane(w.ae, w.plane).SetTunnel(dataplane.Tunnel{Home: pair.Home, CareOf: pair.CareOf, HomeAgent: pair.HomeAgent}); err != nil {
		t.Fatal(err)
	}
}

func update(sequence uint16) (mipv6.Packet, mipv6.Message) {
	return mipv6.Packet{Src: pair.CareOf, Dst: pair.HomeAgent, HomeAddress: pair.Home},
		&mipv6.BindingUpdate{Sequence: sequence, Acknowledge: true, HomeRegistration: true, Lifetime: time.Minute,
			Options: []mipv6.Option{&mipv6.AlternateCareOf{Addr: pair.CareOf}}}
}

func acknowledgement(sequence uint16) (mipv6.Packet, mipv6.Message) {
	return mipv6.Packet{Src: pair.HomeAgent, Dst: pair.CareOf, RoutingHome: pair.Home},
		&mipv6.BindingAcknowledgement{Sequence: sequence, Lifetime: time.Minute}
}

// homeTest goes by the data plane of the home agent.
func (w *world) homeTest(t *testing.T, cookie byte) []byte {
	t.Helper()
	p := mipv6.Packet{Src: clientAddr, Dst: pair.Home, HopLimit: 60}
	if err := p.Carry(&mipv6.HomeTest{Cookie: mipv6.Cookie{cookie}}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	w.taken <- b
	return p.Payload
}

// nothing says that nothing comes to the connection.
func nothing(t *testing.T, what string, c mhsock.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: received %+v, %v", what, r, err)
	}
}

// everything exchanges one of each message.
func (w *world) everything(t *testing.T, n uint16) {
	t.Helper()
	p, m := update(n)
	exchange(t, "Binding Update", w.replica, w.agent, p, m, mhsock.Received{Src: pair.Home, CareOf: pair.CareOf, Dst: pair.HomeAgent})
	p, m = acknowledgement(n)
	exchange(t, "Binding Acknowledgement", w.agent, w.replica, p, m, mhsock.Received{Src: pair.HomeAgent, Dst: pair.Home})
	w.register(t)
	exchange(t, "Home Test Init", w.replica, w.client, mipv6.Packet{Src: pair.Home, Dst: clientAddr},
		&mipv6.HomeTestInit{Cookie: mipv6.Cookie{byte(n)}}, mhsock.Received{Src: pair.Home, Dst: clientAddr})
	want := w.homeTest(t, byte(n))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := w.replica.Receive(ctx)
	if err != nil || r.Src != clientAddr || r.Dst != pair.Home || !bytes.Equal(r.Message, want) {
		t.Fatalf("Home Test: received %+v, %v", r, err)
	}
}

// RFC 3776 §3.1, §3.3: what is on the wire, and what the roles get of it.
func TestConn(t *testing.T) {
	for _, a := range esp.Algorithms() {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, generate(t, 1, a))
			w.everything(t, 1)
			if got := w.plane.State().Tunnels; len(got) != 1 || !got[0].Protect {
				t.Errorf("tunnels %+v, want a protected one", got)
			}
			for _, p := range w.network.Sent() {
				clear := p.NextHeader == mipv6.ProtocolMobility
				ours := p.Src == pair.CareOf || p.Dst == pair.CareOf
				if clear == ours {
					t.Errorf("%s: on the wire: from %v to %v protocol %d", a, p.Src, p.Dst, p.NextHeader)
				}
				switch {
				case p.Src == pair.CareOf && p.HomeAddress.IsValid() && p.HomeAddress != pair.Home,
					p.Dst == pair.CareOf && p.RoutingHome.IsValid() && p.RoutingHome != pair.Home:
					t.Errorf("%s: home addresses %+v", a, p)
				}
			}
			// A client's own messages, and care-of tests, pass in clear.
			exchange(t, "Care-of Test Init", w.replica, w.client, mipv6.Packet{Src: pair.CareOf, Dst: clientAddr},
				&mipv6.CareOfTestInit{}, mhsock.Received{Src: pair.CareOf, Dst: clientAddr})
			exchange(t, "Care-of Test", w.client, w.replica, mipv6.Packet{Src: clientAddr, Dst: pair.CareOf},
				&mipv6.CareOfTest{}, mhsock.Received{Src: clientAddr, Dst: pair.CareOf})
			exchange(t, "client's Binding Update", w.replica, w.client, mipv6.Packet{Src: pair.CareOf, Dst: clientAddr, HomeAddress: pair.Home},
				&mipv6.BindingUpdate{Sequence: 1}, mhsock.Received{Src: pair.Home, CareOf: pair.CareOf, Dst: clientAddr})
			exchange(t, "client's Binding Acknowledgement", w.client, w.replica, mipv6.Packet{Src: clientAddr, Dst: pair.CareOf, RoutingHome: pair.Home},
				&mipv6.BindingAcknowledgement{Sequence: 1}, mhsock.Received{Src: clientAddr, Dst: pair.Home})
		})
	}
}

// What must be protected and came in clear does not reach a role, and is
// counted: at the home agent a registration, at the replica what would be its
// answer, and a home test.
func TestClearIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, generate(t, 1, esp.AESGCM))
		attacker := w.network.Host(netip.MustParseAddr("2001:db8:bad::1"))
		send := func(p mipv6.Packet, m mipv6.Message) {
			t.Helper()
			if err := p.Carry(m, nil); err != nil {
				t.Fatal(err)
			}
			if err := attacker.Send(&p); err != nil {
				t.Fatal(err)
			}
		}
		send(update(1))
		nothing(t, "registration", w.agent)
		p, m := acknowledgement(1)
		send(p, m)
		nothing(t, "acknowledgement", w.replica)
		test := mipv6.Packet{Src: clientAddr, Dst: pair.Home}
		if err := test.Carry(&mipv6.HomeTest{}, nil); err != nil {
			t.Fatal(err)
		}
		w.replicaHost.Deliver(&test) // out of the tunnel
		nothing(t, "home test", w.replica)
		if n := w.ae.Counters()[ipsec.CounterClearIn]; n != 1 {
			t.Errorf("home agent dropped %d, want 1", n)
		}
		if n := w.re.Counters()[ipsec.CounterClearIn]; n != 2 {
			t.Errorf("replica dropped %d, want 2", n)
		}
	})
}

// An ESP packet that comes again is dropped, also by the next process.
func TestReplayOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, generate(t, 1, esp.AESGCM))
		w.everything(t, 1)
		recorded := w.network.Sent()
		w.restart(t)
		w.everything(t, 2) // sequence numbers went on: nobody refuses the other
		before := w.ae.Counters()[ipsec.CounterReplay] + w.re.Counters()[ipsec.CounterReplay]
		if before != 0 {
			t.Errorf("%d packets of the new processes refused", before)
		}
		again := 0
		for _, p := range recorded {
			if p.NextHeader != mipv6.ProtocolMobility {
				again++
				if p.Dst == pair.HomeAgent {
					w.agentHost.Deliver(&p)
				} else {
					w.replicaHost.Deliver(&p)
				}
			}
		}
		nothing(t, "replayed", w.agent)
		nothing(t, "replayed", w.replica)
		if n := w.ae.Counters()[ipsec.CounterReplay] + w.re.Counters()[ipsec.CounterReplay]; n != uint64(again) || again != 4 {
			t.Errorf("%d of %d replays dropped, want all of 4", n, again)
		}
	})
}

func TestConnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, generate(t, 1, esp.AESGCM))
		done := make(chan error)
		go func() {
			_, err := w.replica.Receive(t.Context())
			done <- err
		}()
		if err := w.replica.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		// A socket that fails ends the other, and says why.
		if err := w.agentHost.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.agent.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
	})
}
