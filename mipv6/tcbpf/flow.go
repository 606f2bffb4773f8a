package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// flow is a flow with a route of its own.
type flow struct {
	dataplane.Route
	installed *netlink.Route // its host route in the contact's table, if it needs one
	entry     *mapRoute      // what the programs' map says, stamp aside; nil: it has no entry
	// undeclared: known only for its narrow path; the programs and State do not
	// know of it.
	undeclared bool
}

// SetRoute implements dataplane.Plane. The flow's contact address must have
// been declared.
func (p *Plane) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	if err := f.Check(); err != nil {
		return fmt.Errorf("tcbpf: %w", err)
	}
	if r.Kind > dataplane.Held {
		return fmt.Errorf("tcbpf: flow %v: unknown kind %v", f, r.Kind)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setFlow(f, r); err != nil {
		return fmt.Errorf("tcbpf: flow %v: %v: %w", f, r.Kind, err)
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
		state = &flow{}
	}
	if state.Kind != r.Kind {
		delete(p.narrow, path{f.Home, f.Client}) // learnt on another path
	}
	old := *state
	state.Route, state.undeclared = r, false
	if err := p.mirrorFlow(c, f, state); err != nil {
		state.Route, state.undeclared = old.Route, old.undeclared
		if known { // what was declared before still stands
			return errors.Join(err, p.mirrorFlow(c, f, state))
		}
		return errors.Join(err, p.undoFlow(f, state))
	}
	p.flows[f] = state
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
		return fmt.Errorf("tcbpf: removing flow %v: %w", f, err)
	}
	return nil
}

func (p *Plane) undoFlow(f dataplane.Flow, state *flow) error {
	delete(p.narrow, path{f.Home, f.Client})
	if err := errors.Join(p.host.DeleteRoute(state.installed), remove(p.programs.Routes, flowKey(f))); err != nil {
		return err
	}
	delete(p.flows, f)
	return nil
}

// mirrorFlow brings the flow's host route and map entry in line with its kind
// and the host's route to the client. A packet in between leaves rewritten in
// the old or in the new way, to the next hop of the one or the other; so the
// route that leads a packet to a neighbour on our own link exists only while the
// map says that packets go there.
func (p *Plane) mirrorFlow(c *contact, f dataplane.Flow, state *flow) error {
	h := c.hop
	if state.Kind == dataplane.Optimised {
		var err error
		if h, err = p.host.Lookup(f.Client, c.CareOf); err != nil {
			old := state.installed
			state.installed = nil
			return errors.Join(err, p.host.DeleteRoute(old))
		}
	}
	own := h.Gateway != c.hop.Gateway
	if n, ok := p.narrow[path{f.Home, f.Client}]; ok && n.mtu < h.MTU {
		h.MTU = n.mtu
	}
	if own { // map first
		if err := p.putFlow(f, state, true); err != nil {
			return err
		}
	}
	if h != c.hop && h != (hostnet.Hop{}) {
		if err := p.host.SetRoute(&state.installed, p.host.Route(hostnet.Single(f.Client), c.table, h)); err != nil {
			return err
		}
	} else {
		if err := p.host.DeleteRoute(state.installed); err != nil {
			return err
		}
		state.installed = nil
	}
	if own || state.undeclared {
		return nil
	}
	return p.putFlow(f, state, false)
}

// putFlow writes the map entry, unless it says the same already, and keeps its
// stamp.
func (p *Plane) putFlow(f dataplane.Flow, state *flow, own bool) error {
	key, v := flowKey(f), mapRoute{Kind: uint32(state.Kind)}
	if own {
		v.OwnNextHop = 1
	}
	if state.entry != nil {
		if *state.entry == v {
			return nil
		}
		var now mapRoute
		if err := p.programs.Routes.Lookup(&key, &now); err == nil {
			v.LastUsed = now.LastUsed
		}
	}
	if err := put(p.programs.Routes, &key, &v); err != nil {
		return err
	}
	v.LastUsed = 0
	state.entry = &v
	return nil
}

// mirrorFlows does so for every flow of a contact address.
func (p *Plane) mirrorFlows(home netip.Addr) error {
	c, ok := p.contacts[home]
	if !ok {
		return nil
	}
	var errs []error
	for f, state := range p.flows {
		if f.Home == home {
			errs = append(errs, p.mirrorFlow(c, f, state))
		}
	}
	return errors.Join(errs...)
}
