package ipsec

import (
	"fmt"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Flow bindings are the plane's own affair: what they lead elsewhere is never a
// Mobility Header.
var _ dataplane.FlowTunneler = (*Plane)(nil)

// Features are those of the plane behind.
func (p *Plane) Features() dataplane.Features { return dataplane.FeaturesOf(p.Plane) }

// flows is the plane behind as a FlowTunneler.
func (p *Plane) flows(do func(dataplane.FlowTunneler) error) error {
	t, ok := dataplane.FlowTunnelerOf(p.Plane)
	if !ok {
		return fmt.Errorf("ipsec: flow bindings: %w", dataplane.ErrUnsupported)
	}
	return do(t)
}

// SetCareOf implements dataplane.FlowTunneler.
func (p *Plane) SetCareOf(c dataplane.CareOf) error {
	return p.flows(func(t dataplane.FlowTunneler) error { return t.SetCareOf(c) })
}

// RemoveCareOf implements dataplane.FlowTunneler.
func (p *Plane) RemoveCareOf(c dataplane.CareOf) error {
	return p.flows(func(t dataplane.FlowTunneler) error { return t.RemoveCareOf(c) })
}

// SetFlowTunnel implements dataplane.FlowTunneler.
func (p *Plane) SetFlowTunnel(f dataplane.FlowTunnel) error {
	return p.flows(func(t dataplane.FlowTunneler) error { return t.SetFlowTunnel(f) })
}

// RemoveFlowTunnel implements dataplane.FlowTunneler.
func (p *Plane) RemoveFlowTunnel(f dataplane.Flow) error {
	return p.flows(func(t dataplane.FlowTunneler) error { return t.RemoveFlowTunnel(f) })
}
