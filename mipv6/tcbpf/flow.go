package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// flow is a flow with a route of its own: a client's, or a connection's.
type flow struct {
	dataplane.Route
	slot      uint32         // of its stamp
	installed *netlink.Route // its host route in the contact's table, if it needs one; never a connection's
	gateway   netip.Addr     // that route's next hop
	entry     mapRoute       // what the programs' map says
	mapped    bool           // it says something
	toKeeper  toKeeper       // what the programs give to the keeper
	// undeclared: known only for its narrow path; the programs and State do not
	// know of it.
	undeclared bool
}

// SetRoute implements dataplane.Plane. The flow's contact address must have
// been declared.
func (p *Plane) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	if err := errors.Join(f.Check(), r.Check()); err != nil {
		return fmt.Errorf("tcbpf: flow %v: %w", f, err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setFlow(f, r); err != nil {
		return fmt.Errorf("tcbpf: flow %v: %v: %w", f, r, err)
	}
	return nil
}

// permits reports a route that this plane cannot have.
func (p *Plane) permits(c *contact, r dataplane.Route) error {
	for _, peer := range []netip.Addr{r.Peer, r.From} {
		if peer.IsValid() && (p.locals[peer] || peer == c.CareOf) {
			return fmt.Errorf("%w: peer %v is this host", dataplane.ErrConflict, peer)
		}
	}
	if (r.Keep || r.Pause) && p.keeper == nil {
		return fmt.Errorf("%w: %w", dataplane.ErrUnsupported, p.noKeeper)
	}
	return nil
}

func (p *Plane) setFlow(f dataplane.Flow, r dataplane.Route) error {
	c, ok := p.contacts[f.Home]
	if !ok {
		return dataplane.ErrNoContact
	}
	if err := p.permits(c, r); err != nil {
		return err
	}
	state, err := p.declare(c, f)
	if err != nil {
		return err
	}
	old := *state
	had := p.keeper.has(f)
	if r.Keep {
		p.keeper.hold(coming(f))
	}
	if r.Pause {
		p.keeper.hold(sent(f))
	}
	ends := endsOfKeeping(old.Route, r, had)
	// What was kept goes first: until it has, what comes, or is sent, is kept behind it.
	state.toKeeper = whatIsKept(r) | ends.drained()
	if state.Kind != r.Kind || state.Peer != r.Peer {
		delete(p.narrow, path{f.Home, f.Client}) // learnt on another path
	}
	if r.Kind == dataplane.RelayTo && (old.Kind != r.Kind || old.Peer != r.Peer) {
		if err := p.stamps.listen(state.slot); err != nil {
			return err
		}
	}
	state.Route = r
	if err := p.mirrorFlow(c, f, state); err != nil {
		if r.Keep && !had.coming {
			err = errors.Join(err, p.keeper.discard(coming(f)))
		}
		if r.Pause && !had.sent {
			err = errors.Join(err, p.keeper.discard(sent(f)))
		}
		if !old.mapped {
			return errors.Join(err, p.undoFlow(f, state))
		}
		state.Route, state.toKeeper = old.Route, old.toKeeper
		return errors.Join(err, p.mirrorFlow(c, f, state)) // what was declared before still stands
	}
	err = p.endKeeping(f, state, ends)
	if r.Pause && ends.sent == keepDiscards {
		p.keeper.hold(sent(f)) // another's
	}
	return err
}

// declare makes the flow known, if it is not, with a stamp and, for a connection,
// a contact address whose programs look for connections.
func (p *Plane) declare(c *contact, f dataplane.Flow) (*flow, error) {
	state, known := p.flows[f]
	if known && !state.undeclared {
		return state, nil
	}
	slot, ok := p.stamps.take()
	if !ok {
		return nil, fmt.Errorf("%w: %d flows", dataplane.ErrFull, p.cfg.MaxRoutes)
	}
	if !known {
		state = &flow{}
	}
	state.slot, state.undeclared = slot, false
	if f.IsConnection() {
		if err := p.countConnections(c, 1); err != nil {
			p.stamps.give(slot)
			return nil, err
		}
		whose := path{f.Home, f.Client}
		if p.connections[whose] == nil {
			p.connections[whose] = map[dataplane.Flow]*flow{}
		}
		p.connections[whose][f] = state
	}
	p.flows[f] = state
	return state, nil
}

// countConnections tells the programs when a contact address gets its first
// connection with a route, and when it loses its last: only in between they look
// for one.
func (p *Plane) countConnections(c *contact, n int) error {
	had := c.connections > 0
	c.connections += n
	if had == (c.connections > 0) {
		return nil
	}
	if err := p.putContact(c); err != nil {
		c.connections -= n
		return err
	}
	return nil
}

// RemoveRoute implements dataplane.Plane.
func (p *Plane) RemoveRoute(f dataplane.Flow) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.removeFlow(f); err != nil {
		return fmt.Errorf("tcbpf: removing flow %v: %w", f, err)
	}
	return nil
}

// removeFlow also answers for a connection that was never declared: its SYN may
// wait for that.
func (p *Plane) removeFlow(f dataplane.Flow) error {
	if state, ok := p.flows[f]; ok && !state.undeclared {
		if err := p.undoFlow(f, state); err != nil {
			return err
		}
	}
	return p.keeper.abandon(f)
}

// undoFlow forgets a flow. What is kept of it stays so: the caller knows what for.
func (p *Plane) undoFlow(f dataplane.Flow, state *flow) error {
	if !f.IsConnection() {
		delete(p.narrow, path{f.Home, f.Client})
	}
	key := flowKey(f)
	if err := errors.Join(p.host.DeleteRoute(state.installed), remove(p.programs.Routes, &key)); err != nil {
		return err
	}
	return p.forgetFlow(f, state)
}

// forgetFlow ends what is known of a flow that the host and the programs do not
// know any more.
func (p *Plane) forgetFlow(f dataplane.Flow, state *flow) error {
	delete(p.flows, f)
	if !state.undeclared {
		p.stamps.give(state.slot)
	}
	c, ok := p.contacts[f.Home]
	if !f.IsConnection() {
		if ok && state.gateway.IsValid() {
			return p.leadConnections(c, f, c.hop.Gateway)
		}
		return nil
	}
	whose := path{f.Home, f.Client}
	delete(p.connections[whose], f)
	if len(p.connections[whose]) == 0 {
		delete(p.connections, whose)
	}
	if !ok {
		return nil
	}
	return p.countConnections(c, -1)
}
