package xfrm

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// SetTunnel implements dataplane.Plane. The host forwards (net.ipv6.conf…
// forwarding) what comes out of the tunnel; that is the role's to switch on, as
// is proxy neighbour discovery on the home link, and an unreachable route for a
// home prefix that is routed to this host without being on one of its links.
func (p *Plane) SetTunnel(t dataplane.Tunnel) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setTunnel(t); err != nil {
		return fmt.Errorf("xfrm: tunnel of %v to %v: %w", t.Home, t.CareOf, err)
	}
	return nil
}

func (p *Plane) setTunnel(t dataplane.Tunnel) error {
	if p.locals[t.Home] {
		return fmt.Errorf("%w: the home address is this host's own", dataplane.ErrConflict)
	}
	old, known := p.tunnels[t.Home]
	if known && old == t {
		return nil
	}
	if !known && len(p.tunnels) >= p.cfg.MaxTunnels {
		return fmt.Errorf("%w: %d tunnels", dataplane.ErrFull, len(p.tunnels))
	}
	d, err := p.useDevice(ends{t.HomeAgent, t.CareOf}, t.Home, agentEnd)
	if err != nil {
		return err
	}
	if err := p.tunnelledHome(t.Home, d); err != nil {
		return errors.Join(err, p.releaseDevice(d, t.Home))
	}
	p.tunnels[t.Home] = t
	if was := p.devices[ends{old.HomeAgent, old.CareOf}]; known && was != d {
		return p.releaseDevice(was, t.Home)
	}
	return nil
}

// RemoveTunnel implements dataplane.Plane.
func (p *Plane) RemoveTunnel(home netip.Addr) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	t, ok := p.tunnels[home]
	if !ok {
		return nil
	}
	delete(p.tunnels, home)
	if h, ok := p.homes[home]; ok {
		h.device = nil
	}
	err := errors.Join(p.releaseHome(home), p.releaseDevice(p.devices[ends{t.HomeAgent, t.CareOf}], home))
	if err != nil {
		return fmt.Errorf("xfrm: removing tunnel of %v: %w", home, err)
	}
	return nil
}
