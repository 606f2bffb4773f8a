package ipsec

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6/esp"
)

// Delivery is a generation on its way to the replica that it is for. It holds
// keys: it is given to nobody else.
type Delivery struct {
	Pair       Pair
	Generation Generation
}

// Which chooses pairs: an address that is not valid stands for all.
type Which struct{ Home, CareOf netip.Addr }

func (w Which) is(p Pair) bool {
	return (!w.Home.IsValid() || w.Home == p.Home) && (!w.CareOf.IsValid() || w.CareOf == p.CareOf)
}

// Roll makes a new generation at the home agent for each of its pairs that is
// chosen and stores it. From then on it can be received; it is used when the
// replica has shown to have it. A pair without keys, as after Revoke, gets some
// only if its replica is named. An error means that the pairs before it were
// rolled and are in what is returned.
func (e *Endpoint) Roll(now time.Time, which Which, a esp.Algorithm) ([]Delivery, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Delivery
	for _, r := range e.sorted() {
		if r.side != HomeAgent || !which.is(r.pair) || len(r.live) == 0 && !which.CareOf.IsValid() {
			continue
		}
		// The replica may have what we forgot: the time is higher than any count.
		number, algorithm := uint32(now.Unix()), a
		if n := len(r.live); n > 0 {
			number = r.live[n-1].Number + 1
			if algorithm == "" {
				algorithm = r.live[n-1].Algorithm
			}
		}
		if algorithm == "" {
			algorithm = esp.Algorithms()[0]
		}
		g, err := Generate(number, algorithm, e.random, e.taken)
		if err == nil {
			err = e.install(r, g)
		}
		if err != nil {
			return out, fmt.Errorf("ipsec: roll keys of %v: %w", r.pair, err)
		}
		e.log.Info("new keys can be received", "contact", r.pair.Home, "care_of", r.pair.CareOf, "generation", g.Number)
		out = append(out, Delivery{r.pair, g})
	}
	return out, nil
}

// Install takes a delivery up at the replica that it is for: stored, received,
// and from now on used. One that is here already is no error, so that a delivery
// can be repeated.
func (e *Endpoint) Install(d Delivery) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rings[d.Pair]
	if r == nil || r.side != Replica {
		return fmt.Errorf("ipsec: keys for %v: %w", d.Pair, ErrNoPair)
	}
	for _, l := range r.live {
		if l.same(d.Generation) {
			return nil
		}
	}
	if err := e.install(r, d.Generation); err != nil {
		return fmt.Errorf("ipsec: keys for %v: %w", d.Pair, err)
	}
	e.log.Info("new keys in use", "contact", r.pair.Home, "care_of", r.pair.CareOf, "generation", d.Generation.Number)
	return nil
}

// same compares two generations, keys and all.
func (l *live) same(g Generation) bool {
	return l.Number == g.Number && l.Algorithm == g.Algorithm &&
		slices.EqualFunc(l.Associations[:], g.Associations[:], func(a, b Association) bool { return a.SPI == b.SPI && a.Key.Equal(b.Key) })
}

// install stores a generation before it is used: what was used must be there
// after a restart. If there are too many, one makes room.
func (e *Endpoint) install(r *ring, g Generation) error {
	before := r.live
	var gone []*live
	if i := r.spare(); len(r.live) >= MaxGenerations {
		gone = r.live[i : i+1 : i+1]
		r.live = slices.Concat(r.live[:i], r.live[i+1:])
	}
	err := e.start(r, g, nil)
	if err == nil {
		if err = r.store.SaveKeys(r.generations()); err == nil {
			if err = r.reserveAll(); err == nil {
				err = e.declare()
			}
		}
		if err != nil {
			made := r.live[len(r.live)-1:]
			e.stop(made)
			r.forget(made)
		}
	}
	if err != nil {
		r.live = before
		return err
	}
	e.stop(gone)
	r.forget(gone)
	return nil
}

// Revoke takes all keys of the replica away, here and in its file: nothing it
// says is accepted any more, and nothing said to it is protected, so nothing is
// said. It gives the pairs that it was done for.
func (e *Endpoint) Revoke(careOf netip.Addr) ([]Pair, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Pair
	for _, r := range e.sorted() {
		if r.side != HomeAgent || r.pair.CareOf != careOf {
			continue
		}
		e.stop(r.live)
		r.forget(r.live)
		r.live, r.dirty = nil, false
		out = append(out, r.pair)
		e.log.Warn("keys revoked", "contact", r.pair.Home, "care_of", careOf)
		if err := e.declare(); err != nil {
			return out, err
		}
		if err := r.store.SaveKeys(nil); err != nil {
			return out, fmt.Errorf("ipsec: keys of %v are revoked until the next start only: %w", r.pair, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("ipsec: revoke keys of %v: %w", careOf, ErrNoPair)
	}
	return out, nil
}

// sorted are the rings in the order of their pairs.
func (e *Endpoint) sorted() []*ring {
	out := make([]*ring, 0, len(e.rings))
	for _, r := range e.rings {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *ring) int {
		if d := a.pair.Home.Compare(b.pair.Home); d != 0 {
			return d
		}
		if d := a.pair.CareOf.Compare(b.pair.CareOf); d != 0 {
			return d
		}
		return a.pair.HomeAgent.Compare(b.pair.HomeAgent)
	})
	return out
}
