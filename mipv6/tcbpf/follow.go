package tcbpf

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// hopsAge is how long the host's answers are remembered.
const hopsAge = 10 * time.Second

// follow mirrors the host's routes again when they, the link or the addresses
// changed, and ends what was learnt of narrow paths when it is old.
func (p *Plane) follow(ctx context.Context, c *hostnet.Changes) {
	forgot := time.Now()
	c.Follow(ctx, p.host.Link.Attrs().Index, hostnet.Follower{
		Addresses: func() { p.forgetHops(); p.locked(p.syncLocals) },
		Settled:   p.mirrorAll,
		Tick: func(now time.Time) {
			p.tells.Store(maxTells)
			p.keeper.tick()
			if now.Sub(forgot) >= hopsAge {
				forgot = now
				p.forgetHops()
			}
			p.locked(func() error { return p.forgetNarrow(now) })
		},
	})
}

// forgetHops ends what hopTo remembers.
func (p *Plane) forgetHops() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.hops)
}

// locked runs f under mu unless the plane is closed, and logs its error.
func (p *Plane) locked(f func() error) {
	if p.enter() != nil {
		return
	}
	defer p.mu.Unlock()
	if err := f(); err != nil {
		p.logger.Error("bringing the data plane in line with the host", "err", err)
	}
}

// mirrorAll brings every route of ours in line with the host's. They are all put
// again, changed or not: a link that was down for a moment took them along. It
// gives way between pieces, for there may be very many.
func (p *Plane) mirrorAll() {
	p.forgetHops()
	p.own.mirrored.Add(1)
	var (
		contacts []netip.Addr
		flows    []dataplane.Flow
		homes    []netip.Addr
	)
	p.locked(func() error {
		contacts = slices.Collect(maps.Keys(p.contacts))
		flows = slices.Collect(maps.Keys(p.flows))
		homes = slices.Collect(maps.Keys(p.homes))
		return nil
	})
	pieces(p, contacts, func(home netip.Addr) error {
		if c, ok := p.contacts[home]; ok {
			return p.mirrorContact(c)
		}
		return nil
	})
	pieces(p, flows, func(f dataplane.Flow) error {
		state, ok := p.flows[f]
		if c, known := p.contacts[f.Home]; ok && known {
			return p.mirrorFlow(c, f, state)
		}
		return nil
	})
	pieces(p, homes, func(addr netip.Addr) error {
		if h, ok := p.homes[addr]; ok {
			return p.mirrorHome(addr, h)
		}
		return nil
	})
}

// pieces runs f for every key, a few at a time under mu.
func pieces[K any](p *Plane, keys []K, f func(K) error) {
	for piece := range slices.Chunk(keys, 64) {
		p.locked(func() error {
			var errs []error
			for _, key := range piece {
				if err := f(key); errors.Is(err, dataplane.ErrUnreachable) {
					p.logger.Warn("no way to send rewritten packets", "for", key, "err", err)
				} else {
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		})
	}
}
