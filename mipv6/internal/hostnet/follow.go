package hostnet

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// calm is how long the host's routes must be quiet before they are looked at
// again: changes come in bursts.
const calm = 100 * time.Millisecond

// Changes are the kernel's notifications.
type Changes struct {
	routes chan netlink.RouteUpdate
	links  chan netlink.LinkUpdate
	addrs  chan netlink.AddrUpdate
}

// Subscribe opens the sockets in the namespace of the calling thread.
func Subscribe(ctx context.Context, logger *slog.Logger) (*Changes, error) {
	c := &Changes{
		routes: make(chan netlink.RouteUpdate, 64),
		links:  make(chan netlink.LinkUpdate, 64),
		addrs:  make(chan netlink.AddrUpdate, 64),
	}
	const buffer = 1 << 20 // a burst of route changes must not overrun the socket
	failed := func(what string) func(error) {
		return func(err error) {
			if ctx.Err() == nil {
				logger.Error("following the host's "+what, "err", err)
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

// Follower is told of the host's changes.
type Follower struct {
	Addresses func()          // at once when an address came or went
	Settled   func()          // routes, addresses or the interface changed, and are calm now
	Tick      func(time.Time) // once a second
}

// Follow tells the follower until ctx ends. A subscription that breaks (its
// channel closes) is replaced by looking every second.
func (c *Changes) Follow(ctx context.Context, link int, f Follower) {
	settle := time.NewTimer(calm)
	defer settle.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	broken := false
	for {
		select {
		case <-ctx.Done():
			c.Drain()
			return
		case u, ok := <-c.routes:
			if !ok {
				c.routes, broken = nil, true
			} else if concerns(u) {
				settle.Reset(calm)
			}
		case u, ok := <-c.links:
			if !ok {
				c.links, broken = nil, true
			} else if int(u.Index) == link {
				settle.Reset(calm)
			}
		case _, ok := <-c.addrs:
			if !ok {
				c.addrs, broken = nil, true
				continue
			}
			f.Addresses()
			settle.Reset(calm)
		case <-settle.C:
			f.Settled()
		case now := <-tick.C:
			f.Tick(now)
			if broken {
				f.Addresses()
				f.Settled()
			}
		}
	}
}

// concerns tells a change that others made to unicast IPv6 routes.
func concerns(u netlink.RouteUpdate) bool {
	return u.Family == unix.AF_INET6 && u.Protocol != Protocol && u.Table != unix.RT_TABLE_LOCAL && u.Type != unix.RTN_MULTICAST
}

// Drain waits until the library has closed the subscriptions: its goroutines
// may be waiting to hand over one more change.
func (c *Changes) Drain() {
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
