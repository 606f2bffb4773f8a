package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// Path MTU discovery: a message about a rewritten packet is translated (see
// package pathmtu) to what it means for the packet before; its transport then
// sends smaller, at once.
//
// The kernel takes no path MTU under 1280 from such a message. Where the room for
// our headers makes it so, the flow gets a route that says it, for a while.
// At the home agent it is always the route: the kernel then tells the client.

const (
	// narrowFor is how long a narrow path is remembered: as long as the kernel
	// does (net.ipv6.route.mtu_expires).
	narrowFor = 10 * time.Minute
	// maxNarrow bounds how many are.
	maxNarrow = 4096
)

// path is a client's, as seen from a contact address; without client, that to
// somebody's home address.
type path struct{ home, client netip.Addr }

type narrowPath struct {
	mtu   int // for packets before our headers are added
	until time.Time
}

var errTooMany = errors.New("too many narrow paths are known")

// readTooBig hears Packet Too Big messages until the socket is closed.
func (p *Plane) readTooBig() {
	if err := p.icmp.Receive(p.handleTooBig); err != nil {
		p.logger.Error("path MTU discovery", "err", err)
	}
}

// handleTooBig counts and logs.
func (p *Plane) handleTooBig(router netip.Addr, mtu int, q pathmtu.Quote) {
	p.own.tooBigIn.Add(1)
	if p.enter() != nil {
		return
	}
	defer p.mu.Unlock()
	if err := p.learn(router, mtu, q); err != nil {
		p.own.tooBigInvalid.Add(1)
		p.logger.Debug("Packet Too Big is ignored", "router", router, "mtu", mtu, "source", q.Source, "destination", q.Destination, "err", err)
		return
	}
	p.own.tooBigTold.Add(1)
	p.logger.Debug("path MTU", "router", router, "mtu", mtu, "from", q.From(), "to", q.To())
}

// learn finds whose packet it was and lets its sender know.
func (p *Plane) learn(router netip.Addr, mtu int, q pathmtu.Quote) error {
	o, err := p.owner(&q)
	if err != nil {
		return err
	}
	link, err := p.host.MTU()
	if err != nil {
		return err
	}
	if mtu < pathmtu.MinimumMTU || mtu >= link {
		return fmt.Errorf("%w: %d", pathmtu.ErrBadMTU, mtu)
	}
	switch o.sender {
	case senderClient:
		return p.tellClient(o.careOf, mtu-hostnet.Overhead, q.Original)
	case senderPeer:
		// The replica leaves room for one outer header in what its tunnel to us
		// carries: a router in that tunnel would say the same.
		return p.tellOthers(o.careOf, mtu+hostnet.Overhead-q.Kind.Length(), tunnelled(o.peer, o.careOf, q.Original))
	}
	mtu -= hostnet.Overhead
	if o.sender == senderForwarded {
		return p.setNarrow(o.path, mtu)
	}
	if mtu < pathmtu.MinimumMTU && !p.cfg.beside {
		if err := p.setNarrow(o.path, mtu); err != nil {
			return err
		}
		// The transport will look, and see the route.
	}
	return p.icmp.Tell(router, max(mtu, pathmtu.MinimumMTU), q.Original)
}

// sender is who made a packet that was rewritten here.
type sender uint8

const (
	senderLocal     sender = iota // a transport of this host
	senderForwarded               // somebody whose packets the kernel forwards by a route of ours
	senderClient                  // a client whose packets we relay to another replica
	senderPeer                    // the replica whose packets we send on
)

// owner tells whose path a packet took.
type owner struct {
	path   path
	sender sender
	careOf netip.Addr // ours, of a packet that was relayed
	peer   netip.Addr // of senderPeer
}

// flowFor is the flow with a route that a packet follows.
func (p *Plane) flowFor(f dataplane.Flow) (*flow, bool) {
	if state, ok := p.flows[f]; ok {
		return state, true
	}
	state, ok := p.flows[f.ClientFlow()]
	return state, ok && !state.undeclared
}

func (p *Plane) owner(q *pathmtu.Quote) (owner, error) {
	from, to := q.From(), q.To()
	if c, ok := p.contacts[from]; ok && c.CareOf == q.Source {
		return p.ownerOut(c, q)
	}
	switch q.Kind {
	case pathmtu.Tunnel:
		if t, ok := p.tunnels[to]; ok && t.HomeAgent == q.Source && t.CareOf == q.Destination {
			o := owner{path: path{home: to}}
			if !p.locals[from] {
				o.sender = senderForwarded
			}
			return o, nil
		}
		if c, ok := p.contacts[to]; ok && c.CareOf == q.Source {
			f, ok := flowOf(q.Original)
			if !ok {
				break
			}
			if state, ok := p.flowFor(f); ok && state.Kind == dataplane.RelayTo && state.Peer == q.Destination {
				return owner{path: path{to, from}, sender: senderClient, careOf: c.CareOf}, nil
			}
		}
	case pathmtu.RoutingHeader:
		if b, ok := p.bindings[bindingID{from, to}]; ok && b.CareOf == q.Destination {
			return owner{path: path{home: to}}, nil
		}
	}
	return owner{}, pathmtu.ErrNotOurs
}

// ownerOut is owner of what left with a contact address as its source.
func (p *Plane) ownerOut(c *contact, q *pathmtu.Quote) (owner, error) {
	o := owner{path: path{q.From(), q.To()}, careOf: c.CareOf}
	state, ok := p.flowFor(outgoingFlowOf(q.Original))
	if ok && state.Kind == dataplane.RelayTo {
		o.sender, o.peer = senderPeer, state.Peer
	}
	switch q.Kind {
	case pathmtu.Tunnel:
		if q.Destination == c.HomeAgent || ok && state.Kind == dataplane.Relayed && state.Peer == q.Destination {
			return o, nil
		}
	case pathmtu.HomeAddress:
		if ok && (state.Kind == dataplane.Optimised || state.Kind == dataplane.RelayTo && state.Via == dataplane.Optimised) {
			return o, nil
		}
	}
	return owner{}, pathmtu.ErrNotOurs
}

// setNarrow remembers a narrow path and makes its route.
func (p *Plane) setNarrow(whose path, mtu int) error {
	known, ok := p.narrow[whose]
	if !ok && len(p.narrow) >= maxNarrow {
		return errTooMany
	}
	if ok && known.mtu <= mtu {
		return nil
	}
	p.narrow[whose] = narrowPath{mtu: mtu, until: time.Now().Add(narrowFor)}
	if err := p.mirrorPath(whose); err != nil {
		delete(p.narrow, whose)
		return err
	}
	return nil
}

// forgetNarrow widens the paths whose time is over.
func (p *Plane) forgetNarrow(now time.Time) error {
	var errs []error
	for whose, n := range p.narrow {
		if now.After(n.until) {
			delete(p.narrow, whose)
			errs = append(errs, p.mirrorPath(whose))
		}
	}
	return errors.Join(errs...)
}

// mirrorPath brings the route of one path in line.
func (p *Plane) mirrorPath(whose path) error {
	if !whose.client.IsValid() {
		if h, ok := p.homes[whose.home]; ok {
			return p.mirrorHome(whose.home, h)
		}
		return nil
	}
	c, ok := p.contacts[whose.home]
	if !ok {
		return nil
	}
	f := dataplane.Flow{Home: whose.home, Client: whose.client}
	state, ok := p.flows[f]
	if !ok {
		// A flow that nobody declared goes through the tunnel, but needs a route
		// of its own now.
		state = &flow{undeclared: true}
		p.flows[f] = state
	}
	if _, still := p.narrow[whose]; !still && state.undeclared {
		return p.undoFlow(f, state)
	}
	return p.mirrorFlow(c, f, state)
}
