package handoff_test

import (
	"errors"
	"flag"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/handoff/handofftest"
	"github.com/vanycast/vanycast/peer"
)

func TestMain(m *testing.M) {
	// The random faults are cheap; the command line may say otherwise.
	flag.Set("rapid.checks", "5000")
	goleak.VerifyTestMain(m)
}

var (
	glass   = netip.MustParseAddr("2001:db8:1::10")
	reich   = netip.MustParseAddr("2001:db8:2::10")
	adams   = netip.MustParseAddr("2001:db8:3::10")
	contact = netip.MustParseAddrPort("[2001:db8:9::1]:4000")
	alice   = netip.MustParseAddrPort("[2001:db8:a::1]:40001")
)

// replica is an agent on a host of the fake world.
type replica struct {
	*handoff.Agent
	host *handofftest.Host

	mu        sync.Mutex
	mode      handoff.Mode
	serves    bool
	admit     error
	delivered []*handoff.Client
}

func newReplica(t *testing.T, w *handofftest.World, addr netip.Addr) *replica {
	t.Helper()
	r := &replica{host: w.Host(addr), mode: handoff.ModeBest}
	r.Agent = handoff.New(handoff.Deps{
		Self: addr, Peers: r.host, Anycast: r.host.Anycast, TCP: r.host,
		Admit: func(handoff.Offer) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.admit
		},
		Modes: func(string) handoff.Mode {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.mode
		},
		Serves: func(_, _ netip.AddrPort) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.serves
		},
		Deliver: func(c *handoff.Client) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.delivered = append(r.delivered, c)
		},
	})
	t.Cleanup(r.Close)
	return r
}

// last is the client delivered last.
func (r *replica) last(t *testing.T) *handoff.Client {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.delivered) == 0 {
		t.Fatal("nothing was delivered")
	}
	return r.delivered[len(r.delivered)-1]
}

// world runs a test with two replicas, in a bubble's time, and in the end checks
// what must never happen.
func world(t *testing.T, test func(t *testing.T, w *handofftest.World, a, b *replica)) {
	synctest.Test(t, func(t *testing.T) {
		w := handofftest.NewWorld()
		a, b := newReplica(t, w, glass), newReplica(t, w, reich)
		test(t, w, a, b)
		a.Close()
		b.Close()
		for _, broken := range w.Broken() {
			t.Error(broken)
		}
	})
}

// expectOwner checks who serves the client and whom it sends to.
func expectOwner(t *testing.T, w *handofftest.World, want netip.Addr) {
	t.Helper()
	if got := w.Owner(contact, alice); got != want {
		t.Errorf("served by %v, want %v", got, want)
	}
	if got := w.BoundTo(contact.Addr(), alice.Addr()); got != want {
		t.Errorf("bound to %v, want %v", got, want)
	}
}

func TestMoved(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		c := a.host.Connect(contact, alice)
		c.State = []byte("HiHaHo")
		if err := a.Handoff(t.Context(), c, reich); err != nil {
			t.Fatal(err)
		}
		if c.FD != -1 {
			t.Errorf("descriptor is %d after the client left", c.FD)
		}
		expectOwner(t, w, reich)
		got := b.last(t)
		want := &handoff.Client{ID: c.ID, Service: "echo", Local: contact, Remote: alice, FD: got.FD, State: []byte("HiHaHo"), HandedOff: true, From: glass, Since: time.Now()}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
			t.Error(diff)
		}
		for r, role := range map[*replica]handoff.Role{a: handoff.RoleDonor, b: handoff.RoleAcceptor} {
			records := r.Recent()
			if len(records) != 1 || records[0].Role != role || records[0].From != glass || records[0].To != reich || records[0].Err != "" || records[0].Bytes == 0 {
				t.Errorf("records of the %s: %+v", role, records)
			}
		}
		// The frozen socket swallows late segments for a minute.
		if n := a.host.Sockets(); n != 1 {
			t.Errorf("%d sockets at the donor", n)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := a.host.Sockets(); n != 0 {
			t.Errorf("%d sockets at the donor after a minute", n)
		}
	})
}

// There and back, faster than the graveyard forgets.
func TestThereAndBack(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		c := a.host.Connect(contact, alice)
		for range 5 {
			if err := a.Handoff(t.Context(), c, reich); err != nil {
				t.Fatal(err)
			}
			if err := b.Handoff(t.Context(), b.last(t), glass); err != nil {
				t.Fatal(err)
			}
			c = a.last(t)
		}
		expectOwner(t, w, glass)
		if a.host.Held(contact.Addr(), alice.Addr()) {
			t.Error("the client's packets are held")
		}
		if a.host.Sockets() != 1 || b.host.Sockets() != 1 {
			t.Errorf("sockets: %d and %d, want the live and the buried one", a.host.Sockets(), b.host.Sockets())
		}
	})
}

// Everything that ends with the client where it was, alive.
func TestKept(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		admit  error
		fault  string // operation that fails
		err    error
		fate   map[peer.Kind]handofftest.Fate
		reason handoff.Reason // of a RefusedError, or
		is     error
		frozen bool // it comes as far as that
	}{
		{name: "queue full", admit: &handoff.RefusedError{Reason: handoff.ReasonQueueFull}, reason: handoff.ReasonQueueFull},
		{name: "draining", admit: &handoff.RefusedError{Reason: handoff.ReasonDraining}, reason: handoff.ReasonDraining},
		{name: "refused without reason", admit: broken, reason: handoff.ReasonUnspecified},
		{name: "not frozen", fault: "freeze", err: broken, is: broken},
		{name: "not extracted", fault: "extract", err: broken, is: broken, frozen: true},
		{name: "no mark", fault: "mark", err: broken, is: broken, frozen: true},
		{name: "not inserted", fault: "insert", err: broken, reason: handoff.ReasonInsert, frozen: true},
		{name: "offered: no Mobile IPv6", fault: "prepare", err: handoff.ErrNoMobileIPv6, reason: handoff.ReasonNoMobileIPv6, is: handoff.ErrNoMobileIPv6},
		{name: "offered: no return routability", fault: "prepare", err: broken, reason: handoff.ReasonBind},
		{name: "no Mobile IPv6", fault: "start", err: handoff.ErrNoMobileIPv6, reason: handoff.ReasonNoMobileIPv6, is: handoff.ErrNoMobileIPv6, frozen: true},
		{name: "not bound", fault: "start", err: broken, reason: handoff.ReasonBind, frozen: true},
		{name: "bound, but unheard", fault: "start-unheard", err: broken, reason: handoff.ReasonBind, frozen: true},
		{name: "not activated", fault: "activate", err: broken, reason: handoff.ReasonActivate, frozen: true},
		{name: "target down", fate: map[peer.Kind]handofftest.Fate{peer.KindOffer: handofftest.Unreachable}, is: handoff.ErrUnreachable},
		{name: "offer lost", fate: map[peer.Kind]handofftest.Fate{peer.KindOffer: handofftest.LoseAnswer}, is: peer.ErrLost},
		{name: "target down after the offer", fate: map[peer.Kind]handofftest.Fate{peer.KindHandoff: handofftest.Unreachable}, is: handoff.ErrUnreachable, frozen: true},
		{name: "request lost", fate: map[peer.Kind]handofftest.Fate{peer.KindHandoff: handofftest.LoseRequest}, reason: handoff.ReasonUnknown, frozen: true},
		{name: "request lost, then cut off", fate: map[peer.Kind]handofftest.Fate{
			peer.KindHandoff: handofftest.LoseRequest, peer.KindOutcome: handofftest.Unreachable}, is: peer.ErrLost, frozen: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				b.admit = tt.admit
				froze := false
				w.Fault = func(_ netip.Addr, op string) error {
					froze = froze || op == "extract"
					if op == tt.fault {
						return tt.err
					}
					return nil
				}
				w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate { return tt.fate[k] }
				c := a.host.Connect(contact, alice)
				fd := c.FD
				err := a.Handoff(t.Context(), c, reich)
				var refused *handoff.RefusedError
				switch {
				case err == nil || errors.Is(err, handoff.ErrGone):
					t.Fatalf("error is %v", err)
				case tt.is != nil && !errors.Is(err, tt.is):
					t.Errorf("error is %v, want %v", err, tt.is)
				case tt.is == nil && (!errors.As(err, &refused) || refused.Reason != tt.reason || refused.Target != reich):
					t.Errorf("error is %v, want a refusal by %s: %s", err, reich, tt.reason)
				}
				if froze != tt.frozen {
					t.Errorf("frozen: %v, want %v", froze, tt.frozen)
				}
				if c.FD != fd || c.Failed != reich {
					t.Errorf("descriptor %d, was %d; failed target %v", c.FD, fd, c.Failed)
				}
				expectOwner(t, w, glass)
				if n := b.host.Sockets(); n != 0 {
					t.Errorf("%d sockets left at the acceptor", n)
				}
				if len(b.delivered) != 0 {
					t.Error("the client was delivered")
				}
				records := a.Recent()
				if len(records) != 1 || records[0].Err == "" {
					t.Errorf("records: %+v", records)
				}
				// What the acceptor held it lets through in the end.
				time.Sleep(time.Minute)
				synctest.Wait()
				if b.host.Held(contact.Addr(), alice.Addr()) {
					t.Error("the acceptor still holds the client")
				}
			})
		})
	}
}

// The acknowledgement is lost, the client has moved all the same.
func TestAcknowledgementLost(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		questions := 0
		w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
			switch k {
			case peer.KindHandoff:
				return handofftest.LoseAnswer
			case peer.KindOutcome:
				if questions++; questions < 3 { // cut off for a while
					return handofftest.Unreachable
				}
			}
			return handofftest.Deliver
		}
		c := a.host.Connect(contact, alice)
		if err := a.Handoff(t.Context(), c, reich); err != nil {
			t.Fatal(err)
		}
		expectOwner(t, w, reich)
		if n := a.Counters()["handoffs_recovered"]; n != 1 {
			t.Errorf("handoffs_recovered is %d", n)
		}
	})
}

// The acceptor has bound the client and stays away: the client is its own.
func TestGone(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
			return map[peer.Kind]handofftest.Fate{peer.KindHandoff: handofftest.LoseAnswer, peer.KindOutcome: handofftest.Unreachable}[k]
		}
		c := a.host.Connect(contact, alice)
		began := time.Now()
		if err := a.Handoff(t.Context(), c, reich); !errors.Is(err, handoff.ErrGone) {
			t.Fatalf("error is %v, want ErrGone", err)
		}
		if c.FD != -1 {
			t.Error("the descriptor is left")
		}
		expectOwner(t, w, reich)
		if d := time.Since(began); d < 15*time.Second || d > 30*time.Second {
			t.Errorf("decided after %v", d)
		}
	})
}

// find is the client's newest delivery.
func (r *replica) find(client netip.AddrPort) *handoff.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.delivered) - 1; i >= 0; i-- {
		if r.delivered[i].Remote == client {
			return r.delivered[i]
		}
	}
	return nil
}

// What cannot be sent is refused before anything happens.
func TestBadClients(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		for name, change := range map[string]func(*handoff.Client){
			"no service":      func(c *handoff.Client) { c.Service = "" },
			"long service":    func(c *handoff.Client) { c.Service = strings.Repeat("x", handoff.MaxService+1) },
			"too much state":  func(c *handoff.Client) { c.State = make([]byte, handoff.MaxState+1) },
			"IPv4":            func(c *handoff.Client) { c.Remote = netip.MustParseAddrPort("192.0.2.1:80") },
			"link-local zone": func(c *handoff.Client) { c.Remote = netip.MustParseAddrPort("[fe80::1%eth0]:80") },
		} {
			c := a.host.Connect(contact, alice)
			change(c)
			if err := a.Handoff(t.Context(), c, reich); !errors.Is(err, handoff.ErrMalformed) || c.FD < 0 {
				t.Errorf("%s: %v, descriptor %d", name, err, c.FD)
			}
		}
		if len(b.Recent()) != 0 {
			t.Error("something was sent")
		}
	})
}

// Messages that cannot be read are answered with a reason, counted, and change
// nothing.
func TestBadMessages(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		sent := 0
		for _, kind := range []peer.Kind{peer.KindOffer, peer.KindHandoff, peer.KindOutcome} {
			for _, msg := range [][]byte{nil, {1}, {2, 0, 0, 0}, make([]byte, 1000)} {
				resp, err := a.host.Call(t.Context(), reich, kind, msg)
				if err != nil || len(resp) < 12 || resp[1] != byte(handoff.VerdictRefused) {
					t.Errorf("kind %d, % x: answer % x, %v", kind, msg[:min(len(msg), 4)], resp, err)
				}
				sent++
			}
		}
		if n := b.Counters()["malformed"]; n != uint64(sent) {
			t.Errorf("malformed is %d, want %d", n, sent)
		}
	})
}
