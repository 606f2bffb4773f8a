package anycast

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

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
			{"nothing", mhsock.Received{Src: modern, Dst: contactAddr}, true},
			{"unknown type", mhsock.Received{Src: modern, Dst: contactAddr, Message: []byte{59, 0, 99, 0, 0, 0, 0, 0}}, true},
			{"unknown type to the care-of address", mhsock.Received{Src: modern, Dst: glass, Message: []byte{59, 0, 99, 0, 0, 0, 0, 0}}, false},
		} {
			if got := n.HandleMH(tc.r); got != tc.want {
				t.Errorf("%s: taken %v", tc.name, got)
			}
		}
		// A Home Test and a Care-of Test that nobody asked for; three that cannot be
		// parsed, of which one could be answered.
		want := map[string]uint64{CounterUnexpected: 2, CounterMalformed: 3, CounterErrors: 1}
		if d := cmp.Diff(want, n.Counters()); d != "" {
			t.Errorf("counters (-want +got):\n%s", d)
		}
		// RFC 6275 §9.2: an unknown type draws a Binding Error, at a bounded rate.
		before := len(l.net.Sent())
		for range 10 * maxRefusals {
			n.HandleMH(mhsock.Received{Src: modern, Dst: contactAddr, Message: []byte{59, 0, 99, 0, 0, 0, 0, 0}})
		}
		sent := l.net.Sent()[before:]
		if len(sent) != maxRefusals-1 { // one was sent above
			t.Errorf("%d answers", len(sent))
		}
		if c := n.Counters(); c[CounterErrors] != maxRefusals || c[CounterLimited] != 9*maxRefusals+1 {
			t.Errorf("counters %v", c)
		}
		m, err := mipv6.Parse(sent[0].Payload)
		if be, ok := m.(*mipv6.BindingError); err != nil || !ok || be.Status != mipv6.UnrecognizedMHType {
			t.Errorf("the answer is %+v, %v", m, err)
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
			{}, {CareOf: netip.MustParseAddr("fe80::1")},
		} {
			if _, err := New(cfg, Deps{Plane: plane, MH: host}); err == nil {
				t.Errorf("%+v passes", cfg)
			}
		}
		n := l.replicas[glass].Node
		for _, ct := range []Contact{
			{}, {Address: contactAddr}, {Address: glass, HomeAgent: homeAgent}, {Address: contactAddr, HomeAgent: homeAgent},
			{Address: otherContact, HomeAgent: homeAgent, BindingLifetime: time.Hour},
			{Address: otherContact, HomeAgent: homeAgent, HomeLifetime: time.Second},
		} {
			if _, err := n.Passive(l.ctx, ct); err == nil {
				t.Errorf("%+v passes", ct)
			}
		}
	})
}
