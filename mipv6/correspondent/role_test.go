package correspondent

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
	"github.com/vanycast/vanycast/mipv6/rr"
)

var (
	contactAddr = netip.MustParseAddr(contact)
	glassAddr   = netip.MustParseAddr(glass)
	clientAddr  = netip.MustParseAddr(client)
)

// world is a correspondent and a mobile node on a network.
type world struct {
	t      *testing.T
	plane  *planetest.Plane
	role   *Role
	mobile *mhtest.Host
	cancel context.CancelFunc
	ended  chan error
}

func newWorld(t *testing.T) *world {
	network := mhtest.NewNetwork()
	w := &world{t: t, plane: planetest.New(), mobile: network.Host(glassAddr, contactAddr), ended: make(chan error, 1)}
	conn := network.Host(clientAddr)
	var err error
	if w.role, err = New(Config{}, Deps{Plane: w.plane, MH: conn}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go mhsock.Each(ctx, conn.Receive, w.role.HandleMH)
	go func() { w.ended <- w.role.Run(ctx) }()
	return w
}

// receive is the mobile node's next message.
func (w *world) receive() mipv6.Message {
	w.t.Helper()
	r, err := w.mobile.Receive(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := mipv6.Parse(r.Message)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) send(p *mipv6.Packet, m mipv6.Message, mac func([]byte) mipv6.Authenticator) {
	w.t.Helper()
	if err := p.Carry(m, mac); err != nil {
		w.t.Fatal(err)
	}
	if err := w.mobile.Send(p); err != nil {
		w.t.Fatal(err)
	}
}

// bind does return routability with the mobile node's half of package rr, and
// binds.
func (w *world) bind(seq uint16) {
	w.t.Helper()
	run := rr.NewInitiator(rr.InitiatorConfig{Home: contactAddr, CareOf: glassAddr, Correspondent: clientAddr})
	sends, err := run.Start(time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range sends {
		w.send(&mipv6.Packet{Src: s.Src, Dst: s.Dst}, s.Message, nil)
	}
	for !run.Done() {
		switch m := w.receive().(type) {
		case *mipv6.HomeTest:
			run.HomeTest(time.Now(), m)
		case *mipv6.CareOfTest:
			run.CareOfTest(time.Now(), m)
		}
	}
	keys := run.Keys()
	w.send(&mipv6.Packet{Src: glassAddr, Dst: clientAddr, HomeAddress: contactAddr},
		&mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, Lifetime: 400 * time.Second, Options: []mipv6.Option{keys.NonceIndices()}},
		func(d []byte) mipv6.Authenticator { return rr.Authenticate(keys.Kbm(), glassAddr, clientAddr, d) })
	ack, ok := w.receive().(*mipv6.BindingAcknowledgement)
	if !ok || ack.Status != mipv6.StatusAccepted || ack.Sequence != seq {
		w.t.Fatalf("acknowledgement %+v", ack)
	}
}

func (w *world) end() {
	w.t.Helper()
	w.cancel()
	if err := <-w.ended; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	if b := w.plane.State().Bindings; len(b) != 0 {
		w.t.Errorf("left in the data plane: %v", b)
	}
}

// A binding made over the network reaches the data plane, is asked to be
// refreshed while in use, and is gone at its end.
func TestRoleLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		made := time.Now()
		w.bind(1)
		want := dataplane.Binding{Local: clientAddr, Home: contactAddr, CareOf: glassAddr}
		if got := w.plane.State().Bindings; !slices.Equal(got, []dataplane.Binding{want}) {
			t.Fatalf("data plane has %v, want %v", got, want)
		}
		if got := w.role.Bindings(); len(got) != 1 || got[0].CareOf != glassAddr {
			t.Errorf("Bindings: %v", got)
		}
		time.Sleep(300 * time.Second)
		w.plane.Use(dataplane.Flow{Home: contactAddr, Client: clientAddr}, time.Now())
		if m, ok := w.receive().(*mipv6.BindingRefreshRequest); !ok {
			t.Fatalf("received %T, want a Binding Refresh Request", m)
		}
		if since := time.Since(made); since >= 400*time.Second {
			t.Errorf("asked for a refresh after %v, when it was too late", since)
		}
		time.Sleep(time.Until(made.Add(400*time.Second - time.Millisecond)))
		if len(w.plane.State().Bindings) != 1 {
			t.Errorf("the binding is gone before its time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if b := w.plane.State().Bindings; len(b) != 0 {
			t.Errorf("expired, but in the data plane: %v", b)
		}
	})
}

// What the data plane notices draws a Binding Error.
func TestRoleEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.plane.Emit(dataplane.Event{Kind: dataplane.UnknownHomeAddress, Source: glassAddr, Dest: clientAddr, Home: contactAddr})
		if m, ok := w.receive().(*mipv6.BindingError); !ok || m.Status != mipv6.UnknownBinding || m.Home != contactAddr {
			t.Errorf("received %+v", m)
		}
	})
}

// The role's end takes its bindings out of the data plane; afterwards it
// handles nothing.
func TestRoleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bind(1)
		w.end()
		p := &mipv6.Packet{Src: contactAddr, Dst: clientAddr}
		if err := p.Carry(&mipv6.HomeTestInit{}, nil); err != nil {
			t.Fatal(err)
		}
		if w.role.HandleMH(arrive(p)) {
			t.Errorf("handled a message after the end")
		}
	})
}
