package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/handoff/handofftest"
	"github.com/vanycast/vanycast/peer"
)

// steps notes what hosts do and say, in order, and lets all of it succeed.
type steps struct {
	mu  sync.Mutex
	all []string
}

func watchSteps(w *handofftest.World) *steps {
	s := new(steps)
	note := func(what string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, what)
	}
	w.Fault = func(_ netip.Addr, op string) error { note(op); return nil }
	w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
		note(fmt.Sprint("call ", k))
		return handofftest.Deliver
	}
	return s
}

// take returns the steps since the last take.
func (s *steps) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// Return routability is done before the client is frozen in prepared mode, and
// after that in basic mode; the lesser of what both sides are told to do counts.
func TestModes(t *testing.T) {
	for _, tt := range []struct{ donor, acceptor, want handoff.Mode }{
		{handoff.ModeBasic, handoff.ModeBasic, handoff.ModeBasic},
		{handoff.ModeBasic, handoff.ModePrepared, handoff.ModeBasic},
		{handoff.ModePrepared, handoff.ModeBasic, handoff.ModeBasic},
		{handoff.ModePrepared, handoff.ModePrepared, handoff.ModePrepared},
		{handoff.ModeSeamless, handoff.ModePrepared, handoff.ModePrepared},
		{handoff.ModePrepared, handoff.ModeSeamless, handoff.ModePrepared},
		{handoff.ModeSeamless, handoff.ModeSeamless, handoff.ModeSeamless},
	} {
		t.Run(fmt.Sprintf("%v to %v", tt.donor, tt.acceptor), func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				a.mode, b.mode = tt.donor, tt.acceptor
				s := watchSteps(w)
				c := a.host.Connect(contact, alice)
				if err := a.Handoff(t.Context(), c, reich); err != nil {
					t.Fatal(err)
				}
				expectOwner(t, w, reich)
				all := s.take()
				frozen, prepared, tested := slices.Index(all, "freeze"), slices.Index(all, "prepare"), slices.Index(all, "routability")
				switch {
				case tt.want == handoff.ModeBasic && (prepared >= 0 || tested < frozen):
					t.Errorf("steps of a basic handoff: %q", all)
				case tt.want >= handoff.ModePrepared && (prepared < 0 || prepared > frozen || tested >= 0):
					t.Errorf("steps of a prepared handoff: %q", all)
				}
				for _, r := range []*replica{a, b} {
					if got := r.Recent()[0].Mode; got != tt.want {
						t.Errorf("recorded mode %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}

// A handoff that was prepared begins with the freezing; one to somebody else, or
// much later, does not.
func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target netip.Addr
		later  time.Duration
		offers bool
	}{
		{"at once", reich, 0, false},
		{"in time", reich, 14 * time.Second, false},
		{"too late", reich, 16 * time.Second, true},
		{"to another", adams, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				third := newReplica(t, w, adams)
				defer third.Close()
				s := watchSteps(w)
				c := a.host.Connect(contact, alice)
				if err := a.Prepare(t.Context(), c, reich); err != nil {
					t.Fatal(err)
				}
				expectOwner(t, w, glass)
				if got, want := s.take(), []string{fmt.Sprint("call ", peer.KindOffer), "prepare", "expect"}; !slices.Equal(got, want) {
					t.Errorf("steps ahead of the handoff: %q, want %q", got, want)
				}
				time.Sleep(tt.later)
				if err := a.Handoff(t.Context(), c, tt.target); err != nil {
					t.Fatal(err)
				}
				expectOwner(t, w, tt.target)
				if offers := slices.Contains(s.take(), fmt.Sprint("call ", peer.KindOffer)); offers != tt.offers {
					t.Errorf("offered: %v, want %v", offers, tt.offers)
				}
			})
		})
	}
}

// The target restarted since: its new process does not take the client, who stays.
func TestPrepareForgotten(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		c := a.host.Connect(contact, alice)
		if err := a.Prepare(t.Context(), c, reich); err != nil {
			t.Fatal(err)
		}
		b.host.Kill()
		b.host.Restart()
		again := newReplica(t, w, reich)
		defer again.Close()
		var refused *handoff.RefusedError
		if err := a.Handoff(t.Context(), c, reich); !errors.As(err, &refused) || refused.Reason != handoff.ReasonUnknown {
			t.Errorf("error is %v", err)
		}
		expectOwner(t, w, glass)
		if err := a.Handoff(t.Context(), c, reich); err != nil { // offered again
			t.Fatal(err)
		}
		expectOwner(t, w, reich)
	})
}

// What Prepare says when nothing comes of it, and that the client is not touched.
func TestPrepareFails(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		admit  error
		fault  error // of return routability
		fate   handofftest.Fate
		reason handoff.Reason
		is     error
	}{
		{name: "queue full", admit: &handoff.RefusedError{Reason: handoff.ReasonQueueFull}, reason: handoff.ReasonQueueFull},
		{name: "no Mobile IPv6", fault: handoff.ErrNoMobileIPv6, reason: handoff.ReasonNoMobileIPv6},
		{name: "no return routability", fault: broken, reason: handoff.ReasonBind},
		{name: "down", fate: handofftest.Unreachable, is: handoff.ErrUnreachable},
		{name: "lost", fate: handofftest.LoseAnswer, is: peer.ErrLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				b.admit = tt.admit
				w.Fault = func(_ netip.Addr, op string) error {
					if op == "prepare" {
						return tt.fault
					}
					return nil
				}
				w.Fate = func(_, _ netip.Addr, _ peer.Kind) handofftest.Fate { return tt.fate }
				c := a.host.Connect(contact, alice)
				err := a.Prepare(t.Context(), c, reich)
				var refused *handoff.RefusedError
				if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && (!errors.As(err, &refused) || refused.Reason != tt.reason || refused.Target != reich) {
					t.Errorf("error is %v", err)
				}
				expectOwner(t, w, glass)
			})
		})
	}
}

// Whoever waits for it gives up, or the target says nothing at all.
func TestPreparePatience(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		release := make(chan struct{})
		defer close(release)
		w.Fault = func(_ netip.Addr, op string) error {
			if op == "prepare" {
				<-release
			}
			return nil
		}
		c := a.host.Connect(contact, alice)
		patience := errors.New("patience is over")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, patience)
		defer cancel()
		if err := a.Prepare(ctx, c, reich); !errors.Is(err, patience) {
			t.Errorf("error is %v", err)
		}
		if err := a.Prepare(t.Context(), c, reich); !errors.Is(err, handoff.ErrUnreachable) {
			t.Errorf("error is %v", err)
		}
		closing := make(chan error, 1)
		go func() { closing <- a.Prepare(t.Context(), c, reich) }()
		synctest.Wait()
		a.Close()
		if err := <-closing; !errors.Is(err, handoff.ErrClosed) {
			t.Errorf("error is %v", err)
		}
	})
}

// How many handoffs are prepared is bounded, and what is too old makes room.
func TestPrepareBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := handofftest.NewWorld()
		b := newReplica(t, w, reich)
		defer b.Close()
		host := w.Host(glass)
		a := handoff.New(handoff.Deps{
			Self: glass, Peers: host, Anycast: host.Anycast, TCP: host, MaxHandoffs: 2,
			Admit: func(handoff.Offer) error { return nil }, Deliver: func(*handoff.Client) {},
		})
		defer a.Close()
		connect := func(port uint16) *handoff.Client {
			return host.Connect(contact, netip.AddrPortFrom(alice.Addr(), port))
		}
		for i, want := range []error{nil, nil, handoff.ErrBusy} {
			if err := a.Prepare(t.Context(), connect(uint16(1+i)), reich); !errors.Is(err, want) {
				t.Errorf("preparation %d: %v, want %v", i, err, want)
			}
		}
		time.Sleep(16 * time.Second)
		if err := a.Prepare(t.Context(), connect(9), reich); err != nil {
			t.Error(err)
		}
	})
}
