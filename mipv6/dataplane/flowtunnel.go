package dataplane

import (
	"cmp"
	"net/netip"
)

// FlowTunnel is a flow binding at the home agent (RFC 6089): the packets of Flow
// go to CareOf, not where the Tunnel of their home address leads. What follows no
// flow (Mobility Headers, fragments) takes the Tunnel.
type FlowTunnel struct {
	Flow   Flow
	CareOf netip.Addr
}

// CareOf is a further care-of address of a home address that has a Tunnel (RFC
// 5648): what comes from there in a tunnel is forwarded as what comes from the
// Tunnel's.
type CareOf struct{ Home, CareOf netip.Addr }

// FlowTunneler is a backend whose home agent's half knows several care-of
// addresses of one home address (Features.FlowTunnels). All is declared, as in
// Plane; RemoveTunnel takes what belongs to its home address along.
type FlowTunneler interface {
	// SetCareOf declares a further care-of address; without the home address's
	// Tunnel it is ErrNoTunnel.
	SetCareOf(CareOf) error
	// RemoveCareOf removes it. Its flow tunnels stay.
	RemoveCareOf(CareOf) error
	// SetFlowTunnel declares a flow binding; without the home address's Tunnel it
	// is ErrNoTunnel.
	SetFlowTunnel(FlowTunnel) error
	// RemoveFlowTunnel gives the flow back to the Tunnel.
	RemoveFlowTunnel(Flow) error
}

// FlowTunnelerOf is the backend as one, if it is.
func FlowTunnelerOf(p any) (FlowTunneler, bool) {
	f, ok := p.(interface{ Features() Features })
	if !ok || !f.Features().FlowTunnels {
		return nil, false
	}
	t, ok := p.(FlowTunneler)
	return t, ok
}

// Check reports what is wrong with a flow binding.
func (t FlowTunnel) Check() error {
	return firstError(t.Flow.Check(), CheckAddress("care-of address", t.CareOf),
		differ("home address and care-of address", t.Flow.Home, t.CareOf))
}

// Check reports what is wrong with a further care-of address.
func (c CareOf) Check() error {
	return firstError(CheckAddress("home address", c.Home), CheckAddress("care-of address", c.CareOf),
		differ("home address and care-of address", c.Home, c.CareOf))
}

// Compare orders flow bindings by their flow.
func (t FlowTunnel) Compare(o FlowTunnel) int {
	a, b := t.Flow, o.Flow
	return cmp.Or(a.Home.Compare(b.Home), a.Client.Compare(b.Client), cmp.Compare(a.HomePort, b.HomePort), cmp.Compare(a.ClientPort, b.ClientPort))
}

// Compare orders care-of addresses by home address.
func (c CareOf) Compare(o CareOf) int {
	return cmp.Or(c.Home.Compare(o.Home), c.CareOf.Compare(o.CareOf))
}
