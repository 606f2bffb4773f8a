package anycast

import (
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

// The first contact node is silent; the second has become it.
func TestContactNodeMoved(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.mustActive(l.replicas[reich])
		l.replicas[glass].down.Store(true)
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
