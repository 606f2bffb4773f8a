package tcbpf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

var _ dataplane.FlowTunneler = (*Plane)(nil)

// flowTunnel is a flow binding at the home agent, and what the programs know of it.
type flowTunnel struct {
	careOf netip.Addr
	entry  mapFlowTunnel
}

// SetCareOf implements dataplane.FlowTunneler.
func (p *Plane) SetCareOf(c dataplane.CareOf) error {
	return p.declareFor(fmt.Sprintf("care-of address %v of %v", c.CareOf, c.Home), c.Home, c.Check(), func() error {
		if p.careOfs[c] {
			return nil
		}
		if err := put(p.programs.CareOfs, careOfKey(c), uint32(1)); err != nil {
			return err
		}
		p.careOfs[c] = true
		return nil
	})
}

// SetFlowTunnel implements dataplane.FlowTunneler. A care-of address that is not
// reached by the plane's interface is dataplane.ErrUnreachable.
func (p *Plane) SetFlowTunnel(t dataplane.FlowTunnel) error {
	return p.declareFor(fmt.Sprintf("flow %v to %v", t.Flow, t.CareOf), t.Flow.Home, t.Check(), func() error {
		old, known := p.flowTunnels[t.Flow]
		state := &flowTunnel{careOf: t.CareOf}
		if known {
			state.entry = old.entry
		}
		if err := p.putFlowTunnel(t.Flow, state); err != nil {
			return err
		}
		p.flowTunnels[t.Flow] = state
		if known {
			return nil
		}
		if err := p.countFlowTunnels(t.Flow.Home, 1); err != nil {
			delete(p.flowTunnels, t.Flow)
			return errors.Join(err, remove(p.programs.FlowTunnels, flowKey(t.Flow)))
		}
		return nil
	})
}

// declareFor makes a declaration about a home address with a tunnel.
func (p *Plane) declareFor(what string, home netip.Addr, check error, f func() error) error {
	if check != nil {
		return fmt.Errorf("tcbpf: %s: %w", what, check)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	err := dataplane.ErrNoTunnel
	if _, ok := p.tunnels[home]; ok {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("tcbpf: %s: %w", what, err)
	}
	return nil
}

// putFlowTunnel brings the entry in line with the host's routes: the routing
// table leads all of the home address's packets the way of its tunnel; where this
// flow's are to go another way the program chooses the neighbour.
func (p *Plane) putFlowTunnel(f dataplane.Flow, state *flowTunnel) error {
	t := p.tunnels[f.Home]
	way, err := p.host.Lookup(state.careOf, t.HomeAgent)
	if err != nil {
		return err
	}
	v := mapFlowTunnel{CareOf: mapAddress(state.careOf)}
	usual, err := p.host.Lookup(t.CareOf, t.HomeAgent)
	if err != nil || usual.Gateway != way.Gateway {
		v.Gateway, v.Redirect = mapAddress(way.Gateway), 1
	}
	if v == state.entry {
		return nil
	}
	if err := put(p.programs.FlowTunnels, flowKey(f), v); err != nil {
		return err
	}
	state.entry = v
	return nil
}

// countFlowTunnels lets the programs look for flow bindings of a home address, or
// not any more.
func (p *Plane) countFlowTunnels(home netip.Addr, n int) error {
	key := mapAddress(home)
	var v mapTunnel
	if err := p.programs.Tunnels.Lookup(key, &v); err != nil {
		return err
	}
	v.Flows = uint32(int(v.Flows) + n)
	return put(p.programs.Tunnels, key, v)
}

// mirrorFlowTunnels brings all flow bindings of a home address in line.
func (p *Plane) mirrorFlowTunnels(home netip.Addr) error {
	var errs []error
	for f, state := range p.flowTunnels {
		if f.Home == home {
			errs = append(errs, p.putFlowTunnel(f, state))
		}
	}
	return errors.Join(errs...)
}

// RemoveCareOf implements dataplane.FlowTunneler.
func (p *Plane) RemoveCareOf(c dataplane.CareOf) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if !p.careOfs[c] {
		return nil
	}
	if err := p.removeCareOf(c); err != nil {
		return fmt.Errorf("tcbpf: removing care-of address %v of %v: %w", c.CareOf, c.Home, err)
	}
	return nil
}

func (p *Plane) removeCareOf(c dataplane.CareOf) error {
	if err := remove(p.programs.CareOfs, careOfKey(c)); err != nil {
		return err
	}
	delete(p.careOfs, c)
	return nil
}

// RemoveFlowTunnel implements dataplane.FlowTunneler.
func (p *Plane) RemoveFlowTunnel(f dataplane.Flow) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if _, ok := p.flowTunnels[f]; !ok {
		return nil
	}
	err := p.removeFlowTunnel(f)
	if err == nil {
		err = p.countFlowTunnels(f.Home, -1)
	}
	if err != nil {
		return fmt.Errorf("tcbpf: removing flow %v: %w", f, err)
	}
	return nil
}

func (p *Plane) removeFlowTunnel(f dataplane.Flow) error {
	if err := remove(p.programs.FlowTunnels, flowKey(f)); err != nil {
		return err
	}
	delete(p.flowTunnels, f)
	return nil
}

// removeFlowTunnelsOf takes away what belongs to a home address whose tunnel goes.
func (p *Plane) removeFlowTunnelsOf(home netip.Addr) error {
	var errs []error
	for f := range p.flowTunnels {
		if f.Home == home {
			errs = append(errs, p.removeFlowTunnel(f))
		}
	}
	for c := range p.careOfs {
		if c.Home == home {
			errs = append(errs, p.removeCareOf(c))
		}
	}
	return errors.Join(errs...)
}

// declaredFlowTunnels are both tables, sorted.
func (p *Plane) declaredFlowTunnels() (flows []dataplane.FlowTunnel, careOfs []dataplane.CareOf) {
	for f, state := range p.flowTunnels {
		flows = append(flows, dataplane.FlowTunnel{Flow: f, CareOf: state.careOf})
	}
	slices.SortFunc(flows, dataplane.FlowTunnel.Compare)
	return flows, slices.SortedFunc(maps.Keys(p.careOfs), dataplane.CareOf.Compare)
}

func careOfKey(c dataplane.CareOf) mapPair {
	return mapPair{Local: mapAddress(c.Home), Home: mapAddress(c.CareOf)}
}
