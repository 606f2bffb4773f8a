package xfrm

import (
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// home is somebody's home address that this host has a binding or a tunnel for.
// Its host route leads into the tunnel; where there are only bindings it mirrors
// the route to the care-of address, and is there for what it says of sizes: the
// policies choose the way.
type home struct {
	careOf, source netip.Addr // of the binding declared last
	bindings       int
	device         *device // nil: no tunnel
	installed      *netlink.Route
}

// boundHome makes the route for a home address, or brings it in line. Nobody is
// counted as its user here.
func (p *Plane) boundHome(addr, careOf, source netip.Addr) (*home, error) {
	h, err := p.useHome(addr)
	if err != nil {
		return nil, err
	}
	before := *h
	h.careOf, h.source = careOf, source
	if err := p.mirrorHome(addr, h); err != nil {
		h.careOf, h.source = before.careOf, before.source
		if h.bindings == 0 && h.device == nil {
			delete(p.homes, addr)
		}
		return nil, err
	}
	return h, nil
}

// tunnelledHome leads a home address into a tunnel.
func (p *Plane) tunnelledHome(addr netip.Addr, d *device) error {
	h, err := p.useHome(addr)
	if err != nil {
		return err
	}
	before := h.device
	h.device = d
	if err := p.mirrorHome(addr, h); err != nil {
		h.device = before
		if h.bindings == 0 && h.device == nil {
			delete(p.homes, addr)
		}
		return err
	}
	return nil
}

func (p *Plane) useHome(addr netip.Addr) (*home, error) {
	// It may have been a contact address of this host.
	if err := p.endGuard(addr); err != nil {
		return nil, err
	}
	h, ok := p.homes[addr]
	if !ok {
		h = &home{}
		p.homes[addr] = h
	}
	return h, nil
}

// mirrorHome brings the host route in line.
func (p *Plane) mirrorHome(addr netip.Addr, h *home) error {
	if h.device != nil {
		route, err := p.through(h.device, hostnet.Single(addr), hostnet.MainTable)
		if err != nil {
			return err
		}
		return p.host.SetRoute(&h.installed, route)
	}
	way, err := p.host.Lookup(h.careOf, h.source)
	if err != nil {
		return err
	}
	route := p.host.Route(hostnet.Single(addr), hostnet.MainTable, way)
	route.AdvMSS = segment(way.MTU)
	return p.host.SetRoute(&h.installed, route)
}

// releaseHome takes the route away when nobody needs it any more.
func (p *Plane) releaseHome(addr netip.Addr) error {
	h, ok := p.homes[addr]
	if !ok {
		return nil
	}
	if h.device != nil || h.bindings > 0 {
		return p.mirrorHome(addr, h)
	}
	if err := p.host.DeleteRoute(h.installed); err != nil {
		return err
	}
	delete(p.homes, addr)
	return nil
}
