package xfrm

import (
	"context"
	"errors"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// follow keeps the routes that say sizes in line with the host.
func (p *Plane) follow(ctx context.Context, c *hostnet.Changes) {
	c.Follow(ctx, p.host.Link.Attrs().Index, hostnet.Follower{
		Addresses: func() { p.locked(p.syncLocals) },
		Settled:   func() { p.locked(p.mirrorAll) },
		Tick: func(now time.Time) {
			p.locked(func() error { return p.widen(now) })
			if p.beside != nil {
				p.beside.Tick()
			}
		},
	})
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

// syncLocals learns the host's addresses.
func (p *Plane) syncLocals() (err error) {
	p.locals, err = p.host.Addresses()
	return err
}

// mirrorAll puts every route again: a link that was down for a moment took some
// along, and the interface's MTU may have changed.
func (p *Plane) mirrorAll() error {
	p.own.mirrored.Add(1)
	mtu, err := p.deviceMTU()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range p.devices {
		if d.link.Attrs().MTU != mtu {
			errs = append(errs, p.host.Netlink.LinkSetMTU(d.link, mtu))
			d.link.Attrs().MTU = mtu
		}
	}
	for _, c := range p.contacts {
		errs = append(errs, p.leadContact(c))
	}
	if p.beside != nil {
		errs = append(errs, p.beside.Mirror())
	}
	for addr, h := range p.homes {
		err := p.mirrorHome(addr, h)
		if errors.Is(err, dataplane.ErrUnreachable) {
			p.logger.Warn("a care-of address is unreachable", "home", addr, "err", err)
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
