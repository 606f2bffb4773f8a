package xfrm

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// flow is a flow with a route of its own.
type flow struct {
	dataplane.Route
	careOf netip.Addr // of its state
	used   time.Time  // before its present rules were made; zero for never
}

// SetRoute implements dataplane.Plane. The flow's contact address must have
// been declared.
func (p *Plane) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	if err := f.Check(); err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	if r.Kind > dataplane.Held {
		return fmt.Errorf("xfrm: flow %v: unknown kind %v", f, r.Kind)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setFlow(f, r); err != nil {
		return fmt.Errorf("xfrm: flow %v: %v: %w", f, r.Kind, err)
	}
	return nil
}

func (p *Plane) setFlow(f dataplane.Flow, r dataplane.Route) error {
	c, ok := p.contacts[f.Home]
	if !ok {
		return dataplane.ErrNoContact
	}
	state, known := p.flows[f]
	if !known {
		if len(p.flows) >= p.cfg.MaxRoutes {
			return fmt.Errorf("%w: %d flows", dataplane.ErrFull, len(p.flows))
		}
		state = &flow{careOf: c.CareOf}
	} else if state.Route == r {
		return nil
	}
	if err := p.putFlow(f, state, r.Kind, c.CareOf); err != nil {
		return err
	}
	p.flows[f] = state
	return nil
}

// putFlow brings the kernel to a flow's new rules, and keeps its stamp.
func (p *Plane) putFlow(f dataplane.Flow, state *flow, kind dataplane.RouteKind, careOf netip.Addr) error {
	was := flowRules(f, state.Kind, state.careOf)
	used, err := p.lastUsed(was)
	if err != nil {
		return err
	}
	state.used = later(state.used, used)
	// A flow that becomes held, or ceases to be, is so until all is done.
	d := p.contacts[f.Home].device
	if kind == dataplane.Held {
		if err := p.hold(d, f); err != nil {
			return err
		}
	}
	if err := p.replace(was, flowRules(f, kind, careOf)); err != nil {
		return err
	}
	state.Kind, state.careOf = kind, careOf
	if kind != dataplane.Held {
		return p.unhold(d, f)
	}
	return nil
}

// RemoveRoute implements dataplane.Plane.
func (p *Plane) RemoveRoute(f dataplane.Flow) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	state, ok := p.flows[f]
	if !ok {
		return nil
	}
	if err := p.undoFlow(f, state); err != nil {
		return fmt.Errorf("xfrm: removing flow %v: %w", f, err)
	}
	return nil
}

func (p *Plane) undoFlow(f dataplane.Flow, state *flow) error {
	if err := p.uninstall(flowRules(f, state.Kind, state.careOf)); err != nil {
		return err
	}
	if c, ok := p.contacts[f.Home]; ok {
		if err := p.unhold(c.device, f); err != nil {
			return err
		}
	}
	delete(p.flows, f)
	return nil
}
