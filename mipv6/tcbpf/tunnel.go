package tcbpf

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
		return fmt.Errorf("tcbpf: %w", err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setTunnel(t); err != nil {
		return fmt.Errorf("tcbpf: tunnel of %v to %v: %w", t.Home, t.CareOf, err)
	}
	return nil
}

func (p *Plane) setTunnel(t dataplane.Tunnel) error {
	if p.locals[t.Home] {
		return fmt.Errorf("%w: the home address is this host's own", dataplane.ErrConflict)
	}
	key := mapAddress(t.Home)
	var v mapTunnel
	if err := p.programs.Tunnels.Lookup(key, &v); err != nil {
		v = mapTunnel{}
	}
	v.CareOf, v.HomeAgent, v.Protect = mapAddress(t.CareOf), mapAddress(t.HomeAgent), 0
	if t.Protect {
		v.Protect = 1
	}
	if _, err := p.useHome(t.Home, t.CareOf, t.HomeAgent, true); err != nil {
		return err
	}
	if err := put(p.programs.Tunnels, key, v); err != nil {
		return errors.Join(err, p.releaseHome(t.Home))
	}
	p.tunnels[t.Home] = t
	return nil
}

// RemoveTunnel implements dataplane.Plane.
func (p *Plane) RemoveTunnel(home netip.Addr) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if _, ok := p.tunnels[home]; !ok {
		return nil
	}
	if err := remove(p.programs.Tunnels, mapAddress(home)); err != nil {
		return fmt.Errorf("tcbpf: removing tunnel of %v: %w", home, err)
	}
	delete(p.tunnels, home)
	if h, ok := p.homes[home]; ok {
		h.tunnel = false
	}
	if err := p.releaseHome(home); err != nil {
		return fmt.Errorf("tcbpf: removing tunnel of %v: %w", home, err)
	}
	return nil
}
