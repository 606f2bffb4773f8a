package tcbpf

import (
	"errors"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// How a flow's packets come to the right next hop. The routing table of a contact
// address leads to the home agent's; a client whose packets go elsewhere (to
// itself on our own link, or to another replica there) has a host route in it. A
// connection cannot have a route: where the table's choice is not right for it the
// program chooses the neighbour.

// target is the next hop of what this host itself sends in a flow with such a
// route.
func (p *Plane) target(c *contact, f dataplane.Flow, r dataplane.Route) (hostnet.Hop, error) {
	switch r.Kind {
	case dataplane.Optimised, dataplane.Direct:
		return p.hopTo(f.Client, c.CareOf)
	case dataplane.Relayed:
		return p.hopTo(r.Peer, c.CareOf)
	case dataplane.RelayTo: // sends nothing; but the peer must be in reach
		if _, err := p.hopTo(r.Peer, c.CareOf); err != nil {
			return hostnet.Hop{}, err
		}
	}
	return c.hop, nil
}

// mirrorFlow brings the flow's host route and map entry in line with its kind
// and the host's routes. A packet in between leaves rewritten in the old or in the
// new way, to the next hop of the one or the other; so the route that leads a
// packet to another next hop than the home agent's exists only while the map says
// that packets go there.
func (p *Plane) mirrorFlow(c *contact, f dataplane.Flow, state *flow) error {
	if p.cfg.beside {
		return p.putBeside(c, f, state)
	}
	h, err := p.target(c, f, state.Route)
	if f.IsConnection() {
		if err != nil {
			return err
		}
		p.narrowFor(f, h, c.hop)
		return p.putConnection(c, f, state, h.Gateway, p.tableGateway(c, f))
	}
	if err != nil {
		old := state.installed
		state.installed, state.gateway = nil, netip.Addr{}
		return errors.Join(err, p.host.DeleteRoute(old), p.leadConnections(c, f, c.hop.Gateway))
	}
	own := h.Gateway != c.hop.Gateway
	if n, ok := p.narrow[path{f.Home, f.Client}]; ok && n.mtu < h.MTU {
		h.MTU = n.mtu
	}
	if own { // map first
		if err := errors.Join(p.putFlow(f, state, flagOwn), p.leadConnections(c, f, h.Gateway)); err != nil {
			return err
		}
	}
	if h != c.hop && h != (hostnet.Hop{}) {
		if err := p.host.SetRoute(&state.installed, p.host.Route(hostnet.Single(f.Client), c.table, h)); err != nil {
			return err
		}
		state.gateway = h.Gateway
	} else {
		if err := p.host.DeleteRoute(state.installed); err != nil {
			return err
		}
		state.installed, state.gateway = nil, netip.Addr{}
	}
	if own {
		return nil
	}
	if err := p.leadConnections(c, f, c.hop.Gateway); err != nil || state.undeclared {
		return err
	}
	return p.putFlow(f, state, 0)
}

// narrowFor lets the path of a connection whose route is known to be narrower
// than the home agent's be its client's. Where that fails Packet Too Big will tell.
func (p *Plane) narrowFor(f dataplane.Flow, h, usual hostnet.Hop) {
	if h.MTU < usual.MTU {
		if err := p.setNarrow(path{f.Home, f.Client}, h.MTU); err != nil {
			p.logger.Debug("narrow path not remembered", "flow", f, "mtu", h.MTU, "error", err)
		}
	}
}

// tableGateway is the next hop that the routing table has for a connection.
func (p *Plane) tableGateway(c *contact, f dataplane.Flow) netip.Addr {
	if client, ok := p.flows[f.ClientFlow()]; ok && client.gateway.IsValid() {
		return client.gateway
	}
	return c.hop.Gateway
}

// leadConnections tells a client's connections that the routing table will have,
// or has, this next hop for them.
func (p *Plane) leadConnections(c *contact, client dataplane.Flow, gateway netip.Addr) error {
	if p.cfg.beside {
		return nil
	}
	var errs []error
	for f, state := range p.connections[path{client.Home, client.Client}] {
		h, err := p.target(c, f, state.Route)
		if err == nil {
			err = p.putConnection(c, f, state, h.Gateway, gateway)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// putConnection writes the entry of a connection whose packets must go to
// gateway, and would go to table.
func (p *Plane) putConnection(c *contact, f dataplane.Flow, state *flow, gateway, table netip.Addr) error {
	var flags routeFlags
	if table != c.hop.Gateway {
		flags |= flagOwn
	}
	if gateway != table && gateway.IsValid() {
		flags |= flagRedirect
		state.gateway = gateway
	}
	return p.putFlow(f, state, flags)
}

type routeFlags uint8

const (
	flagOwn routeFlags = 1 << iota
	flagRedirect
)

// putFlow writes the map entry, unless it says the same already.
func (p *Plane) putFlow(f dataplane.Flow, state *flow, flags routeFlags) error {
	v := state.wanted(flags)
	if state.mapped && state.entry == v {
		return nil
	}
	if p.batch != nil {
		p.batch.put(f, state, v)
		return nil
	}
	key := flowKey(f)
	if err := put(p.programs.Routes, &key, &v); err != nil {
		return err
	}
	state.entry, state.mapped = v, true
	return nil
}

// wanted is the entry that says what the flow is.
func (s *flow) wanted(flags routeFlags) mapRoute {
	bit := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	v := mapRoute{
		Peer:       mapAddress(s.Peer),
		From:       mapAddress(s.From),
		Slot:       s.slot,
		Kind:       uint8(s.Kind),
		Via:        uint8(s.Via),
		Keep:       s.toKeeper,
		OwnNextHop: bit(flags&flagOwn != 0),
		Redirect:   bit(flags&flagRedirect != 0),
	}
	if flags&flagRedirect != 0 {
		v.Gateway = mapAddress(s.gateway)
	}
	return v
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
