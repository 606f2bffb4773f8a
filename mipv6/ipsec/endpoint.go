package ipsec

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config says what this host protects, and with what.
type Config struct {
	Pairs []PairConfig
	// Contacts are the contact addresses of this replica that are never
	// registered in clear, be there a pair for them or not.
	Contacts []Contact
	// HomeAgent, if valid, is the address of this home agent, at which nobody
	// registers in clear. Home addresses that a pair is for never do.
	HomeAgent netip.Addr
	// Logger gets what an operator should know, never a key; default none.
	Logger *slog.Logger
	// Kernel, if there is one, does all the rest; then Mark stands for Protect, and
	// Open and ProtectForwarded are not called.
	Kernel Kernel
	// Random makes keys; default crypto/rand.Reader.
	Random io.Reader
}

// Contact is a contact address and its home agent.
type Contact struct{ Home, HomeAgent netip.Addr }

// PairConfig is a pair, which of its ends we are, and what is known of it.
type PairConfig struct {
	Pair
	Side        Side
	Generations []Generation // in any order; none: nothing can be said until Install
	Numbers     Numbers
	Store       Store
}

// Endpoint is the security policy of this host and its associations. It is safe
// for concurrent use.
type Endpoint struct {
	log    *slog.Logger
	random io.Reader

	mu         sync.Mutex
	rings      map[Pair]*ring
	incoming   map[uint32]incoming // by SPI
	protected  map[netip.Addr]bool // home agent: home addresses that have a pair
	contacts   []Contact
	homeAgent  netip.Addr
	registered map[netip.Addr]netip.Addr // home agent: home address to care-of address
	counters   map[string]uint64
	told       told // who sent in clear what had to be protected

	kernel      Kernel // nil: we do ESP ourselves
	unprotected uint64 // of the kernel, as of the last poll
}

// incoming is who a packet is for.
type incoming struct {
	ring    *ring
	live    *live
	purpose Purpose
}

// New makes an Endpoint. Two associations that are received here with one SPI
// are an error, as are a pair that comes twice and keys that cannot be used.
func New(cfg Config) (*Endpoint, error) {
	e := &Endpoint{
		log: cfg.Logger, random: cfg.Random,
		rings: map[Pair]*ring{}, incoming: map[uint32]incoming{},
		protected: map[netip.Addr]bool{}, registered: map[netip.Addr]netip.Addr{},
		contacts: slices.Clone(cfg.Contacts), homeAgent: cfg.HomeAgent,
		counters: newCounters(), told: told{},
		kernel: cfg.Kernel,
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.random == nil {
		e.random = rand.Reader
	}
	for _, pc := range cfg.Pairs {
		if err := e.add(pc); err != nil {
			return nil, err
		}
	}
	for _, r := range e.rings {
		if err := r.reserveAll(); err != nil {
			return nil, err
		}
	}
	return e, e.declare()
}

func (e *Endpoint) add(pc PairConfig) error {
	if err := pc.Check(); err != nil {
		return err
	}
	if e.rings[pc.Pair] != nil {
		return fmt.Errorf("ipsec: pair %v is there twice", pc.Pair)
	}
	r := &ring{pair: pc.Pair, side: pc.Side, store: pc.Store, reserved: Numbers{}}
	if e.kernel != nil {
		r.mark, r.uses = firstMark+uint32(len(e.rings)), map[uint32]KernelUse{}
	}
	generations := slices.Clone(pc.Generations)
	slices.SortFunc(generations, func(a, b Generation) int { return int(int64(a.Number) - int64(b.Number)) })
	for _, g := range generations {
		if err := e.start(r, g, pc.Numbers); err != nil {
			return fmt.Errorf("ipsec: pair %v: %w", pc.Pair, err)
		}
	}
	e.rings[pc.Pair] = r
	if pc.Side == HomeAgent {
		e.protected[pc.Home] = true
	} else {
		e.contacts = append(e.contacts, Contact{pc.Home, pc.HomeAgent})
	}
	return nil
}

// start puts one more generation, the newest, into use.
func (e *Endpoint) start(r *ring, g Generation, numbers Numbers) error {
	if n := len(r.live); n > 0 && r.live[n-1].Number >= g.Number {
		return fmt.Errorf("%w: generation %d is not newer than generation %d", ErrGeneration, g.Number, r.live[n-1].Number)
	}
	if len(r.live) >= MaxGenerations {
		return fmt.Errorf("%w: more than %d generations", ErrGeneration, MaxGenerations)
	}
	for _, a := range g.Associations {
		if e.taken(a.SPI) {
			return fmt.Errorf("%w: generation %d: SPI %#x is another association's on this host", ErrGeneration, g.Number, a.SPI)
		}
	}
	l, err := r.start(g, numbers)
	if err != nil {
		return err
	}
	r.live = append(r.live, l)
	for _, p := range Purposes() {
		if !r.side.sends(p) {
			e.incoming[g.Associations[p].SPI] = incoming{r, l, p}
		}
	}
	return nil
}

// taken tells whether an association of this host, either way, has the SPI.
func (e *Endpoint) taken(spi uint32) bool {
	if _, ok := e.incoming[spi]; ok {
		return true
	}
	for _, r := range e.rings {
		if _, ok := r.reserved[spi]; ok {
			return true
		}
	}
	return false
}

// stop takes generations out of use.
func (e *Endpoint) stop(gone []*live) {
	for _, l := range gone {
		for _, a := range l.Associations {
			delete(e.incoming, a.SPI)
		}
	}
}

// Poll forgets what is old and saves how far the receivers have come. It is
// called about once a second.
func (e *Endpoint) Poll(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kernel != nil {
		if err := e.pollKernel(now); err != nil {
			e.log.Error("the kernel's associations", "err", err)
		}
	}
	for _, r := range e.rings {
		gone, err := r.expire(now)
		if err != nil {
			e.log.Error("old keys kept", "err", err)
		}
		e.stop(gone)
		for _, l := range gone {
			e.log.Info("old keys forgotten", "contact", r.pair.Home, "care_of", r.pair.CareOf, "generation", l.Number)
		}
		if len(gone) > 0 {
			if err := e.declare(); err != nil {
				e.log.Error("old keys kept", "err", err)
			}
		}
		if r.dirty || len(gone) > 0 {
			if err := r.saveNumbers(); err != nil {
				e.log.Error("sequence numbers not saved", "contact", r.pair.Home, "care_of", r.pair.CareOf, "err", err)
			}
		}
	}
}

// Counters are totals since New, by the names in counters.go.
func (e *Endpoint) Counters() map[string]uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.counters)
}

// ring finds the pair of a home address and a care-of address.
func (e *Endpoint) ring(home, careOf netip.Addr, side Side) *ring {
	for p, r := range e.rings {
		if p.Home == home && p.CareOf == careOf && r.side == side {
			return r
		}
	}
	return nil
}
