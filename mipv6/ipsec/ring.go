package ipsec

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vanycast/vanycast/mipv6/esp"
)

// Side is which end of a pair this host is.
type Side uint8

const (
	// Replica sends Update and TestInit, receives the others.
	Replica Side = iota + 1
	// HomeAgent is the other end.
	HomeAgent
)

// sends tells whether this side is the sender of an association.
func (s Side) sends(p Purpose) bool { return (p == Update || p == TestInit) == (s == Replica) }

const (
	// Linger is how long an older generation is received after a newer one was
	// heard: longer than any packet is under way.
	Linger = time.Minute
	// MaxGenerations bounds those of a pair. A replica that is not contact node
	// says nothing for weeks, so that nobody knows which keys the other end has.
	MaxGenerations = 4
)

// live is a generation in use.
type live struct {
	Generation
	senders   [purposes]*esp.Sender   // of what this side sends
	receivers [purposes]*esp.Receiver // of what it receives
	heard     time.Time               // when the other end first used it; zero for never
}

// ring is one end of a pair: its generations, oldest first.
type ring struct {
	pair     Pair
	side     Side
	store    Store
	live     []*live
	reserved Numbers // of the senders
	dirty    bool    // receivers have got on since the numbers were saved

	// Where the kernel does it all:
	mark uint32
	uses map[uint32]KernelUse // by SPI, as of the last poll; nil: it does not
}

// start makes the generation usable, going on after the numbers that are known.
func (r *ring) start(g Generation, numbers Numbers) (*live, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	l := &live{Generation: g}
	for _, p := range Purposes() {
		a := g.Associations[p]
		if r.uses != nil {
			r.uses[a.SPI] = KernelUse{Sequence: numbers[a.SPI]}
		}
		c, err := esp.NewCipher(g.Algorithm, a.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGeneration, err)
		}
		if !r.side.sends(p) {
			l.receivers[p] = esp.NewReceiver(c, numbers[a.SPI])
			continue
		}
		if l.senders[p], err = esp.NewSender(a.SPI, c, numbers[a.SPI], nil); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGeneration, err)
		}
		r.reserved[a.SPI] = numbers[a.SPI]
	}
	return l, nil
}

// sending is the generation that this side sends with: at the replica the
// newest, since the home agent had it first; at the home agent the newest that
// the replica has shown to have.
func (r *ring) sending() *live {
	if len(r.live) == 0 {
		return nil
	}
	if r.side == Replica {
		return r.live[len(r.live)-1]
	}
	for i := len(r.live) - 1; i > 0; i-- {
		if !r.live[i].heard.IsZero() {
			return r.live[i]
		}
	}
	return r.live[0]
}

// ErrNoKeys: there is nothing to protect the packet with, and unprotected it must not be sent.
var ErrNoKeys = errors.New("ipsec: no keys for this pair")

// seal protects a payload.
func (r *ring) seal(p Purpose, next uint8, payload []byte) ([]byte, error) {
	l := r.sending()
	if l == nil {
		return nil, fmt.Errorf("%w: %v", ErrNoKeys, r.pair)
	}
	s, spi := l.senders[p], l.Associations[p].SPI
	if s.Last() >= r.reserved[spi] {
		if err := r.reserve(spi, s.Last()); err != nil {
			return nil, fmt.Errorf("ipsec: %v: reserve sequence numbers: %w", r.pair, err)
		}
	}
	return s.Seal(next, payload)
}

// reserve says on disk that the next block of numbers is used, before it is.
func (r *ring) reserve(spi, last uint32) error {
	if last == math.MaxUint32 {
		return esp.ErrExhausted
	}
	before := r.reserved[spi]
	r.reserved[spi] = last + min(block, math.MaxUint32-last)
	if err := r.saveNumbers(); err != nil {
		r.reserved[spi] = before
		return err
	}
	return nil
}

func (r *ring) saveNumbers() error {
	numbers := Numbers{}
	for _, l := range r.live {
		for _, p := range Purposes() {
			spi := l.Associations[p].SPI
			if r.side.sends(p) {
				numbers[spi] = r.reserved[spi]
			} else {
				numbers[spi] = r.last(l, p)
			}
		}
	}
	if err := r.store.SaveNumbers(r.generations(), numbers); err != nil {
		return err
	}
	r.dirty = false
	return nil
}

// last is the last sequence number that was sent, or the highest received.
func (r *ring) last(l *live, p Purpose) uint32 {
	switch {
	case r.uses != nil:
		return r.uses[l.Associations[p].SPI].Sequence
	case r.side.sends(p):
		return l.senders[p].Last()
	}
	return l.receivers[p].Last()
}

func (r *ring) generations() []Generation {
	out := make([]Generation, len(r.live))
	for i, l := range r.live {
		out[i] = l.Generation
	}
	return out
}

// open opens a packet that one of our receivers is for. The generation counts as
// heard by accepted, once what is inside was looked at, too.
func (r *ring) open(l *live, p Purpose, packet []byte) (next uint8, payload []byte, err error) {
	next, payload, err = l.receivers[p].Open(packet)
	if err == nil {
		r.dirty = true
	}
	return next, payload, err
}

// accepted notes that the other end uses the generation.
func (r *ring) accepted(now time.Time, l *live) (first bool) {
	first = l.heard.IsZero()
	if first {
		l.heard = now
	}
	return first
}

// expire forgets the generations before the newest that was heard long enough
// ago, and gives their SPIs. If the file cannot be written it changes nothing: a
// restart must not find what was said to be gone.
func (r *ring) expire(now time.Time) (gone []*live, err error) {
	for i := len(r.live) - 1; i > 0; i-- {
		l := r.live[i]
		if l.heard.IsZero() || now.Sub(l.heard) < Linger {
			continue
		}
		kept := r.generations()[i:]
		if err := r.store.SaveKeys(kept); err != nil {
			return nil, fmt.Errorf("ipsec: %v: forget old keys: %w", r.pair, err)
		}
		gone, r.live = r.live[:i:i], r.live[i:]
		r.forget(gone)
		return gone, nil
	}
	return nil, nil
}

// forget gives up the numbers of generations that are no longer used.
func (r *ring) forget(gone []*live) {
	for _, l := range gone {
		for _, a := range l.Associations {
			delete(r.reserved, a.SPI)
			delete(r.uses, a.SPI)
		}
	}
}

// spare is the generation that has to go when there are too many: at the replica
// the oldest, since the home agent goes to the newest as soon as it hears it; at
// the home agent what the replica was given first of all that it never used, and
// so was given better since.
func (r *ring) spare() int {
	if r.side == Replica {
		return 0
	}
	for i, l := range r.live {
		if l == r.sending() && i+1 < len(r.live) {
			return i + 1
		}
	}
	return 0
}
