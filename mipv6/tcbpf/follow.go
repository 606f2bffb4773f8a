package tcbpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// calm is how long the host's routes must be quiet before they are mirrored
// again: changes come in bursts.
const calm = 100 * time.Millisecond

// changes are the kernel's notifications.
type changes struct {
	routes chan netlink.RouteUpdate
	links  chan netlink.LinkUpdate
	addrs  chan netlink.AddrUpdate
}

// subscribe opens the sockets in the namespace of the calling thread.
func subscribe(ctx context.Context, logger *slog.Logger) (*changes, error) {
	c := &changes{
		routes: make(chan netlink.RouteUpdate, 64),
		links:  make(chan netlink.LinkUpdate, 64),
		addrs:  make(chan netlink.AddrUpdate, 64),
	}
	const buffer = 1 << 20 // a burst of route changes must not overrun the socket
	failed := func(what string) func(error) {
		return func(err error) {
			if ctx.Err() == nil {
				logger.Error("following the host's "+what, "error", err)
			}
		}
	}
	err := netlink.RouteSubscribeWithOptions(c.routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: failed("routes"), ReceiveBufferSize: buffer})
	if err == nil {
		err = netlink.LinkSubscribeWithOptions(c.links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: failed("links"), ReceiveBufferSize: buffer})
	}
	if err == nil {
		err = netlink.AddrSubscribeWithOptions(c.addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: failed("addresses"), ReceiveBufferSize: buffer})
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to the host's changes: %w", err)
	}
	return c, nil
}

// follow mirrors the host's routes again when they, the link or the addresses
// changed, and ends what was learnt of narrow paths when it is old. A
// subscription that breaks (its channel closes) is replaced by looking every
// second.
func (p *Plane) follow(ctx context.Context, c *changes) {
	settle := time.NewTimer(calm)
	defer settle.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	broken := false
	for {
		select {
		case <-ctx.Done():
			c.drain()
			return
		case u, ok := <-c.routes:
			if !ok {
				c.routes, broken = nil, true
			} else if concerns(u) {
				p.forgetHops()
				settle.Reset(calm)
			}
		case u, ok := <-c.links:
			if !ok {
				c.links, broken = nil, true
			} else if int(u.Index) == p.link.Attrs().Index {
				p.forgetHops()
				settle.Reset(calm)
			}
		case _, ok := <-c.addrs:
			if !ok {
				c.addrs, broken = nil, true
				continue
			}
			p.forgetHops()
			p.locked(p.syncLocals)
			settle.Reset(calm)
		case <-settle.C:
			p.mirrorAll()
		case now := <-tick.C:
			p.tells.Store(maxTells)
			p.keeper.tick()
			p.forgetHops()
			p.locked(func() error { return p.forgetNarrow(now) })
			if broken {
				p.locked(p.syncLocals)
				p.mirrorAll()
			}
		}
	}
}

// forgetHops ends what hopTo remembers.
func (p *Plane) forgetHops() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.hops)
}

// concerns tells a change that others made to unicast IPv6 routes.
func concerns(u netlink.RouteUpdate) bool {
	return u.Family == unix.AF_INET6 && u.Protocol != protocol && u.Table != unix.RT_TABLE_LOCAL && u.Type != unix.RTN_MULTICAST
}

// drain waits until the library has closed the subscriptions: its goroutines
// may be waiting to hand over one more change.
func (c *changes) drain() {
	drain(c.routes)
	drain(c.links)
	drain(c.addrs)
}

// drain empties a subscription's channel until the library closes it.
func drain[T any](c chan T) {
	if c == nil {
		return
	}
	for range c {
	}
}

// locked runs f under mu unless the plane is closed, and logs its error.
func (p *Plane) locked(f func() error) {
	if p.enter() != nil {
		return
	}
	defer p.mu.Unlock()
	if err := f(); err != nil {
		p.logger.Error("bringing the data plane in line with the host", "error", err)
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
					p.logger.Warn("no way to send rewritten packets", "for", key, "error", err)
				} else {
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		})
	}
}
