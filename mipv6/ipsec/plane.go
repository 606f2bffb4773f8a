package ipsec

import (
	"errors"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Plane stands between a home agent and its data plane: it has the tunnels of
// protected home addresses leave Mobility Headers to ESP, and the Endpoint learn
// where they are registered.
type Plane struct {
	dataplane.Plane
	endpoint *Endpoint
}

// NewPlane makes a Plane.
func NewPlane(e *Endpoint, p dataplane.Plane) *Plane { return &Plane{p, e} }

// SetTunnel declares a binding of the home agent.
func (p *Plane) SetTunnel(t dataplane.Tunnel) error {
	// Known before the first packet can be taken; forgotten if nothing comes of it.
	before, was, err := p.endpoint.register(t.Home, t.CareOf)
	if err == nil {
		t.Protect = p.endpoint.Protects(t.Home)
		err = p.Plane.SetTunnel(t)
	}
	if err != nil {
		if was {
			_, _, undo := p.endpoint.register(t.Home, before)
			return errors.Join(err, undo)
		}
		return errors.Join(err, p.endpoint.unregister(t.Home))
	}
	return nil
}

// RemoveTunnel removes it.
func (p *Plane) RemoveTunnel(home netip.Addr) error {
	return errors.Join(p.endpoint.unregister(home), p.Plane.RemoveTunnel(home))
}

// Protects tells whether the Mobility Headers of a home address of this home
// agent are protected.
func (e *Endpoint) Protects(home netip.Addr) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.protected[home]
}

func (e *Endpoint) register(home, careOf netip.Addr) (before netip.Addr, was bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, was = e.registered[home]
	e.registered[home] = careOf
	if was && before == careOf {
		return before, was, nil
	}
	return before, was, e.declare()
}

func (e *Endpoint) unregister(home netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.registered, home)
	return e.declare()
}
