package anycast

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// mustActive makes a replica the contact node.
func (l *lab) mustActive(r *replica) {
	l.t.Helper()
	if err := r.addr.Active(l.ctx); err != nil {
		l.t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The thesis's handover (its Fig. 6), with all that the replicas say to each
// other: glass accepts the client, hands it to reich, reich to adams, adams back.
func TestHandoffAround(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		donor := l.replicas[glass]
		l.mustActive(donor)
		if !donor.addr.IsContactNode() || donor.addr.ContactNode() != glass {
			t.Error("glass is not contact node")
		}
		must(t, donor.addr.Bind(l.ctx, modern))
		from := glass
		for _, to := range []netip.Addr{reich, adams, glass, reich} {
			acceptor := l.replicas[to]
			must(t, donor.addr.Hold(modern))
			if k := l.route(donor); k != dataplane.Held {
				t.Errorf("donor's route is %v", k)
			}
			m, err := donor.addr.Mark(modern)
			must(t, err)
			b, err := m.MarshalBinary()
			must(t, err)
			var got Mark
			must(t, got.UnmarshalBinary(b))
			must(t, acceptor.addr.Start(l.ctx, modern, from, got))
			donor.addr.Finish(modern)
			if l.boundTo() != to || l.route(acceptor) != dataplane.Optimised {
				t.Fatalf("client sends to %v, the acceptor's route is %v", l.boundTo(), l.route(acceptor))
			}
			if _, ok := donor.plane.State().Routes[dataplane.Flow{Home: contactAddr, Client: modern}]; ok {
				t.Error("the donor still has a route")
			}
			donor, from = acceptor, to
			time.Sleep(3 * time.Minute) // in the bubble: tokens age
		}
		must(t, donor.addr.Clear(l.ctx, modern))
		if l.boundTo().IsValid() {
			t.Errorf("after Clear the client sends to %v", l.boundTo())
		}
	})
}

// A long life: registration and binding are refreshed, through the contact node,
// for an hour, while one message in three is lost.
func TestRefreshForAnHour(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		must(t, l.replicas[adams].addr.Start(l.ctx, modern, glass, Mark{Sequence: 7}))
		n := 0
		l.net.Filter(func(*mipv6.Packet) bool { n++; return n%3 != 0 })
		for range 120 {
			time.Sleep(30 * time.Second)
			if l.boundTo() != adams || l.route(l.replicas[adams]) != dataplane.Optimised {
				t.Fatalf("at %v the client sends to %v", time.Now(), l.boundTo())
			}
			if l.registered() != glass {
				t.Fatalf("the home agent has %v", l.registered())
			}
		}
		l.net.Filter(nil)
		infos := l.replicas[adams].addr.Bindings()
		if len(infos) != 1 || infos[0].Peer != modern || infos[0].State != "bound" || infos[0].Route != "optimised" {
			t.Errorf("bindings %+v", infos)
		}
	})
}

// RFC 6275 §11.8: 1.5 s before the first registration is sent again.
func TestActiveRetransmits(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.dropFirst(1, mipv6.TypeBindingUpdate, glass)
		begin := time.Now()
		l.mustActive(l.replicas[glass])
		if d := time.Since(begin); d != mipv6.InitialBindackTimeoutFirstReg {
			t.Errorf("acknowledged after %v", d)
		}
	})
}

// Every wait has an end: the caller's, or ours.
func TestBoundedInTime(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass]) // so that home tests are its own
		l.net.Filter(func(*mipv6.Packet) bool { return false })
		defer l.net.Filter(nil)
		a := l.replicas[glass].addr
		for _, tc := range []struct {
			name string
			do   func(context.Context) error
			most time.Duration
		}{
			{"active", l.replicas[reich].addr.Active, DefaultRegisterTimeout},
			{"bind", func(ctx context.Context) error { return a.Bind(ctx, modern) }, DefaultHandoffTimeout},
			{"start", func(ctx context.Context) error { return a.Start(ctx, modern, reich, Mark{}) }, DefaultHandoffTimeout},
			{"reclaim", func(ctx context.Context) error { return a.Reclaim(ctx, modern, Mark{}) }, DefaultHandoffTimeout},
			{"probe", func(ctx context.Context) error { return a.Probe(ctx, modern) }, DefaultHandoffTimeout},
		} {
			begin := time.Now()
			err := tc.do(l.ctx)
			if err == nil || time.Since(begin) > tc.most {
				t.Errorf("%s: %v after %v", tc.name, err, time.Since(begin))
			}
			var op *OpError
			if !errors.As(err, &op) || op.Contact != contactAddr {
				t.Errorf("%s: the error does not say what failed: %v", tc.name, err)
			}
			time.Sleep(2 * time.Minute) // what is remembered of the client's silence ends
			ctx, cancel := context.WithTimeout(l.ctx, 200*time.Millisecond)
			begin = time.Now()
			if err := tc.do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 200*time.Millisecond {
				t.Errorf("%s with a short context: %v after %v", tc.name, err, time.Since(begin))
			}
			cancel()
			time.Sleep(2 * time.Minute)
		}
		// Time passes, and nothing more is sent to the client.
		sent := len(l.net.Sent())
		time.Sleep(time.Hour)
		for _, p := range l.net.Sent()[sent:] {
			if p.Dst == modern {
				t.Fatalf("after all has ended, %v sends to the client", p.Src)
			}
		}
	})
}

// The first contact node is silent; the second has become it.
func TestContactNodeMoved(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[reich])
		l.replicas[glass].down = true
		begin := time.Now()
		must(t, l.replicas[adams].addr.Start(l.ctx, modern, reich, Mark{Sequence: 1}))
		if d := time.Since(begin); d != hedge {
			t.Errorf("it took %v", d)
		}
		if got := l.replicas[adams].addr.ContactNode(); got != reich {
			t.Errorf("contact node is taken to be %v", got)
		}
		// Next time it is asked first.
		must(t, l.replicas[adams].addr.Clear(l.ctx, modern))
		time.Sleep(5 * time.Minute)
		begin = time.Now()
		must(t, l.replicas[adams].addr.Bind(l.ctx, modern))
		if d := time.Since(begin); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

func TestNoContactNode(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		err := l.replicas[adams].addr.Start(l.ctx, modern, reich, Mark{})
		if !errors.Is(err, ErrNoHomeTest) || !errors.Is(err, ErrUntouched) || errors.Is(err, ErrNoMobileIPv6) {
			t.Errorf("error %v", err)
		}
		if l.boundTo().IsValid() || l.route(l.replicas[adams]) != dataplane.Tunnelled {
			t.Error("something was left behind")
		}
	})
}

// A client without Mobile IPv6 answers a Home Test Init with an ICMPv6 parameter
// problem, which the home agent tunnels to the contact node.
func TestLegacyClient(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		l.net.Filter(func(p *mipv6.Packet) bool {
			if p.Dst != modern {
				return true
			}
			typ, _ := mipv6.PeekType(p.Payload)
			to := l.replicas[glass]
			if p.Src != contactAddr {
				to = l.replicas[p.Src]
			}
			to.host.DeliverError(mhsock.ICMPError{
				From: modern, Type: mhsock.TypeParameterProblem, Code: mhsock.CodeUnrecognizedNextHeader,
				Src: p.Src, Dst: p.Dst, MHType: typ, Mobility: true, Payload: p.Payload,
			})
			return false
		})
		for _, r := range []netip.Addr{glass, reich} {
			begin := time.Now()
			if err := l.replicas[r].addr.Probe(l.ctx, modern); !errors.Is(err, ErrNoMobileIPv6) || time.Since(begin) != 0 {
				t.Errorf("%v: %v after %v", r, err, time.Since(begin))
			}
			if err := l.replicas[r].addr.Start(l.ctx, modern, adams, Mark{}); !errors.Is(err, ErrNoMobileIPv6) || !errors.Is(err, ErrUntouched) {
				t.Errorf("%v: %v", r, err)
			}
		}
	})
}

func TestSilentClient(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		l.net.Filter(func(p *mipv6.Packet) bool { return p.Dst != modern })
		if err := l.replicas[reich].addr.Probe(l.ctx, modern); !errors.Is(err, ErrNoMobileIPv6) {
			t.Errorf("error %v", err)
		}
	})
}

// The donor did not hear of the end. The client knows.
func TestReclaim(t *testing.T) {
	for _, started := range []bool{false, true} {
		inLab(t, func(t *testing.T, l *lab) {
			donor, acceptor := l.replicas[glass].addr, l.replicas[reich].addr
			l.mustActive(l.replicas[glass])
			must(t, donor.Bind(l.ctx, modern))
			m, err := donor.Mark(modern)
			must(t, err)
			if started {
				must(t, acceptor.Start(l.ctx, modern, glass, m))
			}
			time.Sleep(DefaultHandoffTimeout)
			err = donor.Reclaim(l.ctx, modern, m)
			var seq *SequenceError
			switch {
			case started && (!errors.As(err, &seq) || seq.Last != m.Sequence+1 || l.boundTo() != reich):
				t.Errorf("the acceptor's: %v, client sends to %v", err, l.boundTo())
			case !started && (err != nil || l.boundTo() != glass):
				t.Errorf("ours: %v, client sends to %v", err, l.boundTo())
			}
			if !started {
				// The acceptor comes too late: it is not believed.
				if err := acceptor.Start(l.ctx, modern, glass, m); !errors.As(err, &seq) || l.boundTo() != glass {
					t.Errorf("a late start: %v, client sends to %v", err, l.boundTo())
				}
			}
		})
	}
}

// Where the route cannot be set, the client is not told to send here.
func TestRouteFails(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		broken := errors.New("no such device")
		r := l.replicas[reich]
		r.plane.FailWith(func(c planetest.Call) error {
			if c.Method == "SetRoute" {
				return broken
			}
			return nil
		})
		if err := r.addr.Start(l.ctx, modern, glass, Mark{Sequence: 3}); !errors.Is(err, broken) {
			t.Errorf("start: %v", err)
		}
		synctest.Wait()
		if l.boundTo().IsValid() {
			t.Error("the client was told all the same")
		}
		if err := r.addr.Hold(modern); !errors.Is(err, broken) {
			t.Errorf("hold: %v", err)
		}
		r.plane.FailWith(nil)
		must(t, r.addr.Start(l.ctx, modern, glass, Mark{Sequence: 3}))
	})
}

// A Binding Refresh Request goes to the home address, so to the contact node,
// and from there to who serves the client.
func TestRefreshRequestReachesOwner(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		must(t, l.replicas[adams].addr.Start(l.ctx, modern, glass, Mark{Sequence: 9}))
		time.Sleep(time.Minute)
		before := l.binding()
		l.send(&mipv6.Packet{Src: modern, Dst: contactAddr}, &mipv6.BindingRefreshRequest{}, nil)
		synctest.Wait()
		after := l.binding()
		if after.Sequence != before.Sequence+1 || after.CareOf != adams {
			t.Errorf("the binding is %+v, was %+v", after, before)
		}
	})
}

func TestTakeover(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[glass])
		l.mustActive(l.replicas[reich])
		time.Sleep(DefaultHomeLifetime) // glass learns it when it refreshes
		if l.replicas[glass].addr.IsContactNode() || !l.replicas[reich].addr.IsContactNode() {
			t.Error("glass still thinks that it is contact node")
		}
		// A close of glass now must not delete reich's registration.
		must(t, l.replicas[glass].addr.Close(l.ctx))
		if l.registered() != reich {
			t.Errorf("the home agent has %v", l.registered())
		}
	})
}

// Messages that are not for us, or are not right, are told apart.
func TestDispatch(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		n := l.replicas[glass].Node
		message := func(m mipv6.Message) []byte {
			b, err := mipv6.Marshal(m, modern, contactAddr)
			must(t, err)
			return b
		}
		for _, tc := range []struct {
			name string
			r    mhsock.Received
			want bool
		}{
			{"Home Test to the contact address", mhsock.Received{Src: modern, Dst: contactAddr, Message: message(&mipv6.HomeTest{})}, true},
			{"Home Test elsewhere", mhsock.Received{Src: modern, Dst: adams, Message: message(&mipv6.HomeTest{})}, false},
			{"Care-of Test", mhsock.Received{Src: modern, Dst: glass, Message: message(&mipv6.CareOfTest{})}, true},
			{"Home Test Init is a correspondent's", mhsock.Received{Src: modern, Dst: contactAddr, Message: message(&mipv6.HomeTestInit{})}, false},
			{"Binding Update is a correspondent's", mhsock.Received{Src: modern, Dst: glass, Message: message(&mipv6.BindingUpdate{})}, false},
			{"Binding Error about us", mhsock.Received{Src: modern, Dst: glass,
				Message: message(&mipv6.BindingError{Status: mipv6.UnknownBinding, Home: contactAddr})}, true},
			{"Binding Error about others", mhsock.Received{Src: modern, Dst: glass,
				Message: message(&mipv6.BindingError{Status: mipv6.UnknownBinding, Home: adams})}, false},
			{"cut short", mhsock.Received{Src: modern, Dst: contactAddr, Message: message(&mipv6.HomeTest{})[:10]}, true},
			{"nothing", mhsock.Received{Src: modern, Dst: contactAddr}, false},
		} {
			if got := n.HandleMH(tc.r); got != tc.want {
				t.Errorf("%s: taken %v", tc.name, got)
			}
		}
	})
}

func TestConfigErrors(t *testing.T) {
	plane, mh := planetest.New(), (mhsock.Conn)(nil)
	if _, err := New(Config{CareOf: glass}, Deps{Plane: plane, MH: mh}); err == nil {
		t.Error("no socket, no error")
	}
	inLab(t, func(t *testing.T, l *lab) {
		host := l.net.Host()
		for _, cfg := range []Config{
			{}, {CareOf: netip.MustParseAddr("fe80::1")}, {CareOf: glass, BindingLifetime: time.Hour},
			{CareOf: glass, HomeLifetime: time.Second},
		} {
			if _, err := New(cfg, Deps{Plane: plane, MH: host}); err == nil {
				t.Errorf("%+v passes", cfg)
			}
		}
		n := l.replicas[glass].Node
		for _, ct := range []Contact{
			{}, {Address: contactAddr}, {Address: glass, HomeAgent: homeAgent}, {Address: contactAddr, HomeAgent: homeAgent},
		} {
			if _, err := n.Passive(l.ctx, ct); err == nil {
				t.Errorf("%+v passes", ct)
			}
		}
	})
}
