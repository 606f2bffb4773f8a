package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/handoff/handofftest"
	"github.com/vanycast/vanycast/peer"
)

// The acceptor dies at each of its steps: before it bound the client the donor
// takes it back; after that its application may serve the client, for all that
// the donor can know.
func TestAcceptorDies(t *testing.T) {
	for step, kept := range map[string]bool{"insert": true, "start": true, "start-unheard": false, "activate": false} {
		t.Run(step, func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				buried := make(chan struct{})
				defer close(buried)
				w.Fault = func(host netip.Addr, op string) error {
					if host != reich || op != step {
						return nil
					}
					b.host.Kill()
					<-buried // the process does nothing more
					return errors.New("killed")
				}
				time.AfterFunc(15*time.Second, func() {
					b.host.Restart()
					newReplica(t, w, reich)
				})
				c := a.host.Connect(contact, alice)
				err := a.Handoff(t.Context(), c, reich)
				if err == nil || errors.Is(err, handoff.ErrGone) == kept {
					t.Errorf("error is %v; kept should be %v", err, kept)
				}
				if kept {
					expectOwner(t, w, glass)
				}
			})
		})
	}
}

// Whoever wants the handoff gives up: before it leaves at once, later when it
// is known who has the client.
func TestCancelled(t *testing.T) {
	for _, kind := range []peer.Kind{peer.KindOffer, peer.KindHandoff} {
		t.Run(fmt.Sprintf("during kind %d", kind), func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				ctx, cancel := context.WithCancelCause(t.Context())
				patience := errors.New("patience is over")
				slow := func(k peer.Kind) {
					if k == kind {
						cancel(patience)
					}
				}
				w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate { slow(k); return handofftest.Deliver }
				w.Fault = func(_ netip.Addr, op string) error {
					if op == "start" {
						time.Sleep(time.Second)
						return handoff.ErrUntouched
					}
					return nil
				}
				c := a.host.Connect(contact, alice)
				if err := a.Handoff(ctx, c, reich); err == nil || errors.Is(err, handoff.ErrGone) {
					t.Errorf("error is %v", err)
				}
				expectOwner(t, w, glass)
			})
		})
	}
}

func TestBusyClient(t *testing.T) {
	world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
		other := netip.AddrPortFrom(alice.Addr(), 40002)
		release := make(chan struct{})
		w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
			<-release
			return handofftest.Deliver
		}
		c, d := a.host.Connect(contact, alice), a.host.Connect(contact, other)
		first := make(chan error, 1)
		go func() { first <- a.Handoff(t.Context(), c, reich) }()
		synctest.Wait()
		if err := a.Handoff(t.Context(), d, reich); !errors.Is(err, handoff.ErrBusy) {
			t.Errorf("second connection of the client: %v, want ErrBusy", err)
		}
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// Closing ends in bounded time whatever hangs, and the client stays or goes, but
// is never at two places.
func TestClose(t *testing.T) {
	for _, where := range []peer.Kind{peer.KindOffer, peer.KindHandoff} {
		t.Run(fmt.Sprintf("during kind %d", where), func(t *testing.T) {
			world(t, func(t *testing.T, w *handofftest.World, a, b *replica) {
				w.Fault = func(host netip.Addr, op string) error { // nobody gets an answer from the client
					if op == "reclaim" {
						return errors.New("no answer")
					}
					return nil
				}
				w.Fate = func(_, _ netip.Addr, k peer.Kind) handofftest.Fate {
					switch k {
					case where:
						time.Sleep(time.Second)
						return handofftest.LoseRequest
					case peer.KindOutcome:
						return handofftest.Unreachable
					}
					return handofftest.Deliver
				}
				c := a.host.Connect(contact, alice)
				result := make(chan error, 1)
				go func() { result <- a.Handoff(t.Context(), c, reich) }()
				synctest.Wait()
				began := time.Now()
				a.Close()
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("closing took %v", d)
				}
				err := <-result
				if !errors.Is(err, handoff.ErrClosed) {
					t.Errorf("error is %v, want ErrClosed", err)
				}
				if gone := where == peer.KindHandoff; errors.Is(err, handoff.ErrGone) != gone {
					t.Errorf("error is %v; gone should be %v", err, gone)
				}
				if err := a.Handoff(t.Context(), a.host.Connect(contact, netip.AddrPortFrom(alice.Addr(), 9)), reich); !errors.Is(err, handoff.ErrClosed) {
					t.Errorf("handoff after closing: %v, want ErrClosed", err)
				}
			})
		})
	}
}

// Many clients among three replicas at once, with everything failing now and
// then: each client is at one place in the end, and no call takes for ever.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := handofftest.NewWorld()
		replicas := map[netip.Addr]*replica{}
		for _, a := range []netip.Addr{glass, reich, adams} {
			replicas[a] = newReplica(t, w, a)
		}
		var mu sync.Mutex
		rnd := rand.New(rand.NewPCG(1, 2))
		dice := func(n int) bool { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) == 0 }
		w.Fault = func(_ netip.Addr, op string) error {
			if op != "thaw" && dice(20) {
				return errors.New("broken")
			}
			return nil
		}
		w.Fate = func(_, _ netip.Addr, _ peer.Kind) handofftest.Fate {
			mu.Lock()
			defer mu.Unlock()
			if rnd.IntN(5) == 0 {
				return handofftest.Fate(rnd.IntN(4))
			}
			return handofftest.Deliver
		}
		const clients = 200
		var wg sync.WaitGroup
		var moved, kept, gone int
		for i := range clients {
			wg.Go(func() {
				client := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 13: 1, 14: byte(i >> 8), 15: byte(i)}), 40000)
				at := replicas[glass]
				c := at.host.Connect(contact, client)
				for hop := range 20 {
					target := []netip.Addr{glass, reich, adams}[(i+hop)%3]
					if target == w.Owner(contact, client) {
						continue
					}
					err := at.Handoff(t.Context(), c, target)
					owner := w.Owner(contact, client)
					mu.Lock()
					switch {
					case err == nil:
						moved++
					case errors.Is(err, handoff.ErrGone):
						gone++
					default:
						kept++
					}
					mu.Unlock()
					switch {
					case errors.Is(err, handoff.ErrGone):
						return
					case err != nil && (owner != at.host.Addr() || c.FD < 0):
						t.Errorf("kept, but it is at %v (%v)", owner, err)
						return
					case err != nil:
						continue
					case owner != target:
						t.Errorf("moved to %v, but it is at %v", target, owner)
						return
					}
					at = replicas[target]
					c = at.find(client)
				}
			})
		}
		wg.Wait()
		if moved < clients || kept == 0 {
			t.Errorf("moved %d, kept %d: not much of a storm", moved, kept)
		}
		if gone > clients/20 {
			t.Errorf("%d of %d clients were let go", gone, clients)
		}
		t.Logf("moved %d, kept %d, gone %d", moved, kept, gone)
		for _, r := range replicas {
			r.Close()
		}
		for _, broken := range w.Broken() {
			t.Error(broken)
		}
	})
}
