package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// flow is a flow with a route of its own: a client's, or a connection's.
type flow struct {
	dataplane.Route
	careOf netip.Addr // of its state
	used   time.Time  // before its present rules were made; zero for never
}

// SetRoute implements dataplane.Plane. The flow's contact address must have
// been declared.
func (p *Plane) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	if err := errors.Join(f.Check(), r.Check()); err != nil {
		return fmt.Errorf("xfrm: flow %v: %w", f, err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setFlow(f, r); err != nil {
		return fmt.Errorf("xfrm: flow %v: %v: %w", f, r, err)
	}
	return nil
}

// permits reports a route that this plane, or this kernel, cannot have.
func (p *Plane) permits(c *contact, f dataplane.Flow, r dataplane.Route) error {
	if p.beside == nil && (r.Kind > dataplane.Held || r.From.IsValid() || r.Keep || f.IsConnection()) {
		return fmt.Errorf("%w: %w", dataplane.ErrUnsupported, p.noBeside)
	}
	for _, peer := range []netip.Addr{r.Peer, r.From} {
		if peer.IsValid() && (p.locals[peer] || peer == c.CareOf) {
			return fmt.Errorf("%w: peer %v is this host", dataplane.ErrConflict, peer)
		}
	}
	return nil
}

func (p *Plane) setFlow(f dataplane.Flow, r dataplane.Route) error {
	c, ok := p.contacts[f.Home]
	if !ok {
		return dataplane.ErrNoContact
	}
	if err := p.permits(c, f, r); err != nil {
		return err
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
	was := state.Route
	if err := p.putFlow(f, state, r, c.CareOf); err != nil {
		if known { // what was declared before still stands
			return errors.Join(err, p.putFlow(f, state, was, c.CareOf))
		}
		return errors.Join(err, p.undoFlow(f, state))
	}
	p.flows[f] = state
	return nil
}

// rulesOf are the rules of a flow with such a route. The state is all of the
// client's, whoever of its flows needs it.
func (p *Plane) rulesOf(f dataplane.Flow, kind dataplane.RouteKind, careOf netip.Addr, shared bool) rules {
	r := flowRules(f, kind, careOf, p.beside != nil)
	if shared {
		r.states = nil
	}
	return r
}

// putFlow brings the kernel to a flow's new rules, and keeps its stamp.
func (p *Plane) putFlow(f dataplane.Flow, state *flow, r dataplane.Route, careOf netip.Addr) error {
	used, err := p.lastUsed(p.rulesOf(f, state.Kind, state.careOf, false))
	if err != nil {
		return err
	}
	state.used = later(state.used, used)
	if p.beside == nil {
		return p.putAlone(f, state, r, careOf)
	}
	// The programs take a flow from the kernel before its policies go, and give it
	// back, with what they kept, when they are there.
	if r.Kind != dataplane.Optimised {
		if err := p.beside.SetRoute(f, r); err != nil {
			return err
		}
	}
	if err := p.putRules(f, state, r.Kind, careOf); err != nil {
		return err
	}
	state.Route, state.careOf = r, careOf
	if r.Kind == dataplane.Optimised {
		return p.beside.SetRoute(f, r)
	}
	return nil
}

// putRules brings the policies and the client's state in line.
func (p *Plane) putRules(f dataplane.Flow, state *flow, kind dataplane.RouteKind, careOf netip.Addr) error {
	others := p.otherOptimised(f, state)
	if err := p.replace(p.rulesOf(f, state.Kind, state.careOf, others > 0), p.rulesOf(f, kind, careOf, others > 0)); err != nil {
		return err
	}
	if kind == dataplane.Optimised {
		others++
	}
	p.countOptimised(f, others)
	return nil
}

// otherOptimised is how many other flows of the client need its state.
func (p *Plane) otherOptimised(f dataplane.Flow, state *flow) int {
	n := p.optimised[f.ClientFlow()]
	if state.Kind == dataplane.Optimised {
		n--
	}
	return n
}

func (p *Plane) countOptimised(f dataplane.Flow, n int) {
	if n == 0 {
		delete(p.optimised, f.ClientFlow())
		return
	}
	p.optimised[f.ClientFlow()] = n
}

// putAlone is putFlow without eBPF. A flow that becomes held, or ceases to be, is
// so until all is done.
func (p *Plane) putAlone(f dataplane.Flow, state *flow, r dataplane.Route, careOf netip.Addr) error {
	d := p.contacts[f.Home].device
	if r.Kind == dataplane.Held {
		if err := p.hold(d, f); err != nil {
			return err
		}
	}
	if err := p.putRules(f, state, r.Kind, careOf); err != nil {
		return err
	}
	state.Route, state.careOf = r, careOf
	if r.Kind != dataplane.Held {
		return p.unhold(d, f)
	}
	return nil
}

// moveStates tells the states of a contact address's clients of another care-of
// address; the policies, set again after that, have the kernel look at it.
func (p *Plane) moveStates(home, careOf netip.Addr) error {
	var steps []step
	for client := range p.optimised {
		if client.Home == home {
			steps = append(steps, changeState(state{stateID: stateID{home, client.Client, hao}, careOf: careOf}))
		}
	}
	_, err := p.do(steps...)
	return err
}

// RemoveRoute implements dataplane.Plane.
func (p *Plane) RemoveRoute(f dataplane.Flow) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.removeFlow(f); err != nil {
		return fmt.Errorf("xfrm: removing flow %v: %w", f, err)
	}
	return nil
}

// removeFlow also answers for a connection that was never declared: its SYN may
// wait for that.
func (p *Plane) removeFlow(f dataplane.Flow) error {
	if state, ok := p.flows[f]; ok {
		return p.undoFlow(f, state)
	}
	if p.beside != nil {
		return p.beside.RemoveRoute(f)
	}
	return nil
}

func (p *Plane) undoFlow(f dataplane.Flow, state *flow) error {
	others := p.otherOptimised(f, state)
	if err := p.uninstall(p.rulesOf(f, state.Kind, state.careOf, others > 0)); err != nil {
		return err
	}
	p.countOptimised(f, others)
	state.Kind = dataplane.Tunnelled
	if p.beside != nil {
		if err := p.beside.RemoveRoute(f); err != nil {
			return err
		}
	} else if c, ok := p.contacts[f.Home]; ok {
		if err := p.unhold(c.device, f); err != nil {
			return err
		}
	}
	delete(p.flows, f)
	return nil
}

// flowFor is the flow with a route that a packet follows.
func (p *Plane) flowFor(f dataplane.Flow) (*flow, bool) {
	if state, ok := p.flows[f]; ok {
		return state, true
	}
	state, ok := p.flows[f.ClientFlow()]
	return state, ok
}
