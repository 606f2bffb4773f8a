package tcbpf

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// home is somebody's home address that packets of this host are rewritten for:
// by bindings, by a tunnel, or by both.
type home struct {
	careOf, source netip.Addr // whose route is mirrored
	bindings       int
	tunnel         bool
	installed      *netlink.Route
}

// useHome makes the route for a home address, or brings it in line, after a
// binding or tunnel was declared that sends its packets from source to careOf.
// Nobody is counted as its user here.
func (p *Plane) useHome(addr, careOf, source netip.Addr, tunnel bool) (*home, error) {
	if err := p.notGone(addr); err != nil {
		return nil, err
	}
	h, ok := p.homes[addr]
	if !ok {
		h = &home{}
	}
	old := *h
	h.careOf, h.source, h.tunnel = careOf, source, h.tunnel || tunnel
	if old.careOf != careOf {
		delete(p.narrow, path{home: addr}) // learnt on another path
	}
	if err := p.mirrorHome(addr, h); err != nil {
		if ok { // what was declared before still stands
			h.careOf, h.source, h.tunnel = old.careOf, old.source, old.tunnel
			err = errors.Join(err, p.mirrorHome(addr, h))
		}
		return nil, err
	}
	p.homes[addr] = h
	return h, nil
}

// mirrorHome brings the host route in line with that to the care-of address.
// The program never sees what leaves by another interface, so there the route
// goes away, and packets take the way to the home link.
func (p *Plane) mirrorHome(addr netip.Addr, h *home) error {
	way, err := p.host.Lookup(h.careOf, h.source)
	if err != nil {
		if d := p.host.DeleteRoute(h.installed); d != nil {
			return d
		}
		h.installed = nil
		return err
	}
	if n, ok := p.narrow[path{home: addr}]; ok && n.mtu < way.MTU {
		way.MTU = n.mtu
	}
	r := p.host.Route(hostnet.Single(addr), hostnet.MainTable, way)
	// The kernel looks at a forwarded packet's route MTU only where it is locked.
	r.MTULock = h.tunnel
	return p.host.SetRoute(&h.installed, r)
}

// releaseHome takes the route away when nobody needs it any more.
func (p *Plane) releaseHome(addr netip.Addr) error {
	h, ok := p.homes[addr]
	if !ok || h.bindings > 0 {
		return nil
	}
	if _, ok := p.tunnels[addr]; ok {
		return nil
	}
	if err := p.host.DeleteRoute(h.installed); err != nil {
		return err
	}
	delete(p.homes, addr)
	delete(p.narrow, path{home: addr})
	return nil
}
