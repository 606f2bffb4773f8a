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
		p.logger.Error("path MTU discovery", "error", err)
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
		p.logger.Debug("Packet Too Big is ignored", "router", router, "mtu", mtu, "source", q.Source, "destination", q.Destination, "error", err)
		return
	}
	p.own.tooBigTold.Add(1)
	p.logger.Debug("path MTU", "router", router, "mtu", mtu, "from", q.From(), "to", q.To())
}

// learn finds whose packet it was and lets its sender know.
func (p *Plane) learn(router netip.Addr, mtu int, q pathmtu.Quote) error {
	whose, local, err := p.owner(&q)
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
	mtu -= hostnet.Overhead
	if !local {
		return p.setNarrow(whose, mtu)
	}
	if mtu < pathmtu.MinimumMTU {
		if err := p.setNarrow(whose, mtu); err != nil {
			return err
		}
		mtu = pathmtu.MinimumMTU // the transport will look, and see the route
	}
	return p.icmp.Tell(router, mtu, q.Original)
}

// owner tells whose path the packet took, and whether its sender is on this
// host.
func (p *Plane) owner(q *pathmtu.Quote) (whose path, local bool, err error) {
	from, to := q.From(), q.To()
	switch q.Kind {
	case pathmtu.Tunnel:
		if c, ok := p.contacts[from]; ok && c.CareOf == q.Source && c.HomeAgent == q.Destination {
			return path{from, to}, true, nil
		}
		if t, ok := p.tunnels[to]; ok && t.HomeAgent == q.Source && t.CareOf == q.Destination {
			return path{home: to}, p.locals[from], nil
		}
	case pathmtu.HomeAddress:
		f, ok := p.flows[dataplane.Flow{Home: from, Client: to}]
		if c := p.contacts[from]; ok && f.Kind == dataplane.Optimised && c != nil && c.CareOf == q.Source {
			return path{from, to}, true, nil
		}
	case pathmtu.RoutingHeader:
		if b, ok := p.bindings[bindingID{from, to}]; ok && b.CareOf == q.Destination {
			return path{home: to}, true, nil
		}
	}
	return path{}, false, pathmtu.ErrNotOurs
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
