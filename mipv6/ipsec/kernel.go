package ipsec

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Kernel is a kernel with ESP of its own, which does for an Endpoint what Seal and
// Open do where there is none: associations and policies are declared to it.
// *xfrm.ESP is one. Its methods are not called concurrently.
type Kernel interface {
	// Declare replaces all that was declared.
	Declare([]KernelPair) error
	// Uses tells of the associations that are declared, by SPI.
	Uses() (map[uint32]KernelUse, error)
	// Unprotected counts the packets that its policies dropped because they came in
	// clear.
	Unprotected() (uint64, error)
}

// KernelPair is one end of a pair, as a kernel has to know it.
type KernelPair struct {
	Pair
	Side        Side
	Mark        uint32       // of the whole packets to protect for this pair
	Generations []Generation // all that are received, oldest first
	Sending     int          // the index of the one to send with, where there are any
	Numbers     Numbers      // where a new association's sequence numbers go on
	// Tunnel: the home address is registered at this replica, whose tunnel Mobility
	// Headers go through. Always true at the replica.
	Tunnel bool
}

// KernelUse is what came and went by one association.
type KernelUse struct {
	Sequence uint32 // last that was sent, or highest received
	Packets  uint64 // in this life of the association
}

// firstMark is that of the first pair; the others follow.
const firstMark = 0x76610000

// kernelBlock is how many sequence numbers are reserved at once where the kernel
// counts them: many more than it uses between two polls.
const kernelBlock = 1 << 20

// declare has the kernel know what is in use now. Without one it does nothing.
func (e *Endpoint) declare() error {
	if e.kernel == nil {
		return nil
	}
	var pairs []KernelPair
	for _, r := range e.sorted() {
		p := KernelPair{
			Pair: r.pair, Side: r.side, Mark: r.mark, Generations: r.generations(), Numbers: Numbers{},
			Tunnel: r.side == Replica || e.registered[r.pair.Home] == r.pair.CareOf,
		}
		for i, l := range r.live {
			if l == r.sending() {
				p.Sending = i
			}
			for _, a := range l.Associations {
				p.Numbers[a.SPI] = r.uses[a.SPI].Sequence
			}
		}
		pairs = append(pairs, p)
	}
	if err := e.kernel.Declare(pairs); err != nil {
		return fmt.Errorf("ipsec: the kernel's associations: %w", err)
	}
	return nil
}

// reserveAll sets numbers aside for associations whose packets the kernel counts,
// before it gets to them.
func (r *ring) reserveAll() error {
	if r.uses == nil {
		return nil
	}
	due := false
	before := Numbers{}
	for spi, reserved := range r.reserved {
		before[spi] = reserved
		if used := r.uses[spi].Sequence; reserved-used < kernelBlock/2 {
			due = true
			r.reserved[spi] = used + min(kernelBlock, ^uint32(0)-used)
		}
	}
	if !due {
		return nil
	}
	if err := r.saveNumbers(); err != nil {
		r.reserved = before
		return fmt.Errorf("ipsec: %v: reserve sequence numbers: %w", r.pair, err)
	}
	return nil
}

// Mark is Protect where the kernel has ESP: it says what the packet has to be
// marked with for the kernel to protect it, zero where it may go in clear. Errors
// as Protect.
func (e *Endpoint) Mark(p *mipv6.Packet) (mark uint32, err error) {
	if p.NextHeader != mipv6.ProtocolMobility {
		return 0, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r, _ := e.protector(p)
	switch {
	case r != nil && len(r.live) == 0:
		err = fmt.Errorf("%w: %v", ErrNoKeys, r.pair)
	case r == nil && e.mustProtect(p):
		err = fmt.Errorf("%w: from %v to %v", ErrClear, p.Src, p.Dst)
	case r != nil:
		e.counters[CounterSealed]++
		return r.mark, nil
	}
	if err != nil {
		e.counters[CounterClearOut]++
	}
	return 0, err
}

// enforced tells whether a Mobility Header that must be protected cannot have
// come in clear, because the kernel's policies are for its address.
func (e *Endpoint) enforced(r mhsock.Received) bool {
	if e.kernel == nil {
		return false
	}
	if e.protected[r.Src] {
		return true
	}
	for p, ring := range e.rings {
		if ring.side == Replica && p.Home == r.Dst {
			return true
		}
	}
	return false
}

// pollKernel takes over how far the kernel has come.
func (e *Endpoint) pollKernel(now time.Time) error {
	uses, err := e.kernel.Uses()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range e.sorted() {
		sending := r.sending()
		for _, l := range r.live {
			for _, p := range Purposes() {
				spi := l.Associations[p].SPI
				use, ok := uses[spi]
				if !ok || use == r.uses[spi] {
					continue
				}
				if r.uses[spi].Sequence != use.Sequence && !r.side.sends(p) {
					r.dirty = true
				}
				r.uses[spi] = use
				if !r.side.sends(p) && use.Packets > 0 {
					e.heard(now, r, l)
				}
			}
		}
		errs = append(errs, r.reserveAll())
		if r.sending() != sending {
			errs = append(errs, e.declare())
		}
	}
	if n, err := e.kernel.Unprotected(); err != nil {
		errs = append(errs, err)
	} else if more := n - e.unprotected; n > e.unprotected {
		e.unprotected = n
		e.counters[CounterClearIn] += more
		if e.told.tell(now, netip.IPv6Unspecified()) {
			e.log.Warn("dropped by the kernel: not protected, and must be", "packets", more)
		}
	}
	return errors.Join(errs...)
}
