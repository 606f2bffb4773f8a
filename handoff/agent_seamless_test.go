package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/handoff/handofftest"
	"github.com/vanycast/vanycast/peer"
)

// expectSeams checks what becomes of the packets: whose the acceptor keeps, and to
// whom the donor sends them.
func expectSeams(t *testing.T, a, b *replica, diverts, expects netip.Addr) {
	t.Helper()
	if got := a.host.Diverts(contact, alice); got != diverts {
		t.Errorf("the donor sends packets to %v, want %v", got, diverts)
	}
	if got := b.host.Expects(contact, alice); got != expects {
		t.Errorf("the acceptor keeps packets of %v, want %v", got, expects)
	}
}

// From before the freeze until the endpoint lives at the acceptor there is no
// moment when a packet would be lost.
func TestSeamless(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		checked := 0
		w.Fault = func(_ netip.Addr, op string) error {
			switch op {
			case "divert":
				expectSeams(t, a, b, netip.Addr{}, glass)
			case "freeze", "extract", "mark", "insert", "start", "activate":
				expectSeams(t, a, b, reich, glass)
			case "open": // the endpoint can receive
				expectSeams(t, a, b, reich, glass)
			default:
				return nil
			}
			checked++
			return nil
		}
		if err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich); err != nil {
			t.Fatal(err)
		}
		expectOwner(t, w, reich)
		expectSeams(t, a, b, reich, netip.Addr{}) // late packets
		if checked != 8 {
			t.Errorf("%d steps were seen", checked)
		}
	})
}

// Whatever goes wrong, packets go their old way in the end.
func TestSeamlessKept(t *testing.T) {
	broken := errors.New("broken")
	for _, fault := range []string{"freeze", "extract", "mark", "insert", "start", "start-unheard", "open", "activate", "handoff"} {
		t.Run(fault, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				w.Fault = func(_ netip.Addr, op string) error {
					if op == fault {
						return broken
					}
					return nil
				}
				w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
					if fault == "handoff" && k == peer.KindHandoff {
						return handofftest.Unreachable
					}
					return handofftest.Deliver
				}
				if err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich); err == nil || errors.Is(err, handoff.ErrGone) {
					t.Fatalf("error is %v", err)
				}
				expectOwner(t, w, glass)
				if got := a.host.Diverts(contact, alice); got.IsValid() {
					t.Errorf("the donor still sends packets to %v", got)
				}
			})
		})
	}
}

// Where packets cannot be kept, or not be sent on, the handoff is a prepared one;
// a donor that offers what is served at the acceptor does not get its packets.
func TestSeamlessNotPossible(t *testing.T) {
	for _, tt := range []struct {
		fault  string
		serves bool
		mode   handoff.Mode
	}{
		{fault: "expect", mode: handoff.ModePrepared},
		{serves: true, mode: handoff.ModePrepared},
		{fault: "divert", mode: handoff.ModePrepared},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				var steps []string
				w.Fault = func(_ netip.Addr, op string) error {
					steps = append(steps, op)
					if op == tt.fault {
						return errors.New("broken")
					}
					return nil
				}
				b.serves = tt.serves
				if err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich); err != nil {
					t.Fatal(err)
				}
				expectOwner(t, w, reich)
				if tt.serves && slices.Contains(steps, "expect") {
					t.Error("the packets of a connection that is served were held up")
				}
				if got := a.Recent()[0].Mode; got != tt.mode {
					t.Errorf("mode %v, want %v", got, tt.mode)
				}
			})
		})
	}
}

// Where the acceptor can be heard through the donor it lives before it is bound, and
// is delivered; handing it on waits until it is.
func TestSeamlessSpeaks(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		w.Relayed = true
		seen := false
		w.Fault = func(host netip.Addr, op string) error {
			if op == "start" && host == reich {
				seen = true
				if got := w.Owner(contact, alice); got != reich {
					t.Errorf("served by %v before it is bound", got)
				}
				c := b.last(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := b.Handoff(ctx, c, glass); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("handed on before it is bound: %v", err)
				}
			}
			return nil
		}
		if err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich); err != nil {
			t.Fatal(err)
		}
		if !seen {
			t.Error("never bound")
		}
		expectOwner(t, w, reich)
		w.Fault = nil
		if err := b.Handoff(t.Context(), b.last(t), glass); err != nil {
			t.Fatal(err)
		}
		expectOwner(t, w, glass)
	})
}

// It could not be bound: it goes on through the donor.
func TestSeamlessUnbound(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		w.Relayed = true
		w.Fault = func(host netip.Addr, op string) error {
			if op == "start" && host == reich {
				return errors.New("broken")
			}
			return nil
		}
		if err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich); err != nil {
			t.Fatal(err)
		}
		if got := w.Owner(contact, alice); got != reich {
			t.Errorf("served by %v", got)
		}
		if got := a.host.Diverts(contact, alice); got != reich {
			t.Errorf("the donor sends on for %v", got)
		}
	})
}

// The acceptor lives, its answers are lost, and nobody can ask it. What it said was
// heard, or not: that decides.
func TestSeamlessCutOff(t *testing.T) {
	for _, muted := range []bool{false, true} {
		t.Run(fmt.Sprintf("muted %v", muted), func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				w.Relayed, w.Muted = true, muted
				w.Fault = func(host netip.Addr, op string) error {
					if op == "start" && host == reich {
						return errors.New("broken")
					}
					return nil
				}
				w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
					switch k {
					case peer.KindHandoff:
						return handofftest.LoseAnswer
					case peer.KindOutcome:
						return handofftest.LoseRequest
					}
					return handofftest.Deliver
				}
				err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich)
				owner := w.Owner(contact, alice)
				if muted && (errors.Is(err, handoff.ErrGone) || err == nil || owner != glass) {
					t.Errorf("served by %v: %v", owner, err)
				}
				if !muted && (!errors.Is(err, handoff.ErrGone) || owner != reich) {
					t.Errorf("served by %v: %v", owner, err)
				}
			})
		})
	}
}

// Another has used the number: who lives already is severed.
func TestSeamlessTaken(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		w.Relayed, w.Muted = true, true
		w.Fault = func(host netip.Addr, op string) error {
			if op == "start" && host == reich {
				return handoff.ErrTaken
			}
			return nil
		}
		err := a.Handoff(t.Context(), a.host.Connect(contact, alice), reich)
		var refused *handoff.RefusedError
		if !errors.As(err, &refused) {
			t.Fatalf("error is %v", err)
		}
		expectOwner(t, w, glass)
		if n := w.Live(contact, alice); n != 1 {
			t.Errorf("%d live sockets", n)
		}
	})
}
