package planetest

import (
	"maps"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

var _ dataplane.FlowTunneler = (*Plane)(nil)

// SetCareOf implements dataplane.FlowTunneler.
func (p *Plane) SetCareOf(c dataplane.CareOf) error {
	return p.change(Call{Method: "SetCareOf", Object: c}, c.Check, func() error {
		if _, ok := p.tunnels[c.Home]; !ok {
			return dataplane.ErrNoTunnel
		}
		return set(p, p.careOfs, c, true)
	})
}

// RemoveCareOf implements dataplane.FlowTunneler.
func (p *Plane) RemoveCareOf(c dataplane.CareOf) error {
	return p.change(Call{Method: "RemoveCareOf", Object: c}, nothing, func() error {
		delete(p.careOfs, c)
		return nil
	})
}

// SetFlowTunnel implements dataplane.FlowTunneler.
func (p *Plane) SetFlowTunnel(t dataplane.FlowTunnel) error {
	return p.change(Call{Method: "SetFlowTunnel", Object: t}, t.Check, func() error {
		if _, ok := p.tunnels[t.Flow.Home]; !ok {
			return dataplane.ErrNoTunnel
		}
		return set(p, p.flowTunnels, t.Flow, t)
	})
}

// RemoveFlowTunnel implements dataplane.FlowTunneler.
func (p *Plane) RemoveFlowTunnel(f dataplane.Flow) error {
	return p.change(Call{Method: "RemoveFlowTunnel", Object: f}, nothing, func() error {
		delete(p.flowTunnels, f)
		return nil
	})
}

// forgetFlowTunnels forgets what belongs to a home address. The lock is held.
func (p *Plane) forgetFlowTunnels(belongs func(dataplane.CareOf) bool) {
	maps.DeleteFunc(p.careOfs, func(c dataplane.CareOf, _ bool) bool { return belongs(c) })
	maps.DeleteFunc(p.flowTunnels, func(f dataplane.Flow, t dataplane.FlowTunnel) bool {
		return belongs(dataplane.CareOf{Home: f.Home, CareOf: t.CareOf})
	})
}
