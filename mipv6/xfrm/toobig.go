package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// Path MTU discovery. A router's message quotes a packet with the care-of
// address, to which the kernel knows no socket, and it does nothing for the
// policy's sake. So it is told twice: of the path between the addresses on the
// wire, from which it takes the room for the headers off by itself; and of the
// original packet, whose transport then sends smaller. What goes through the
// tunnel is the tunnel's own business, unless it would have to carry less than
// IPv6's minimum: then its route says so, for a while.

// narrowFor is how long that is: as long as the kernel remembers a path's MTU
// (net.ipv6.route.mtu_expires).
const narrowFor = 10 * time.Minute

// readTooBig hears Packet Too Big messages until the sockets are closed.
func (p *Plane) readTooBig() {
	if err := p.icmp.Receive(p.handleTooBig); err != nil {
		p.logger.Error("path MTU discovery", "err", err)
	}
}

func (p *Plane) handleTooBig(router netip.Addr, mtu int, q pathmtu.Quote) {
	if p.besideTooBig(router, mtu, q) {
		return
	}
	if q.Kind == pathmtu.Tunnel && mtu >= pathmtu.MinimumMTU+hostnet.Overhead {
		return
	}
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

func (p *Plane) learn(router netip.Addr, mtu int, q pathmtu.Quote) error {
	if !p.sent(&q) {
		return pathmtu.ErrNotOurs
	}
	link, err := p.host.MTU()
	if err != nil {
		return err
	}
	if mtu < pathmtu.MinimumMTU || mtu >= link {
		return fmt.Errorf("%w: %d", pathmtu.ErrBadMTU, mtu)
	}
	if q.Kind == pathmtu.Tunnel {
		return p.narrow(router, mtu, q)
	}
	if err := p.icmp.TellPath(router, mtu, q.Source, q.Destination); err != nil {
		return err
	}
	// The kernel takes no less than the minimum from a message; of the path it
	// knows better by now.
	return p.icmp.Tell(router, max(mtu-pathmtu.ExtensionLength, pathmtu.MinimumMTU), q.Original)
}

// narrow has the route into a tunnel say less than an interface's MTU can be, and
// tells the transport, which will look and see the route. A home agent forwards,
// and may not tell others of so small a path.
func (p *Plane) narrow(router netip.Addr, mtu int, q pathmtu.Quote) error {
	d := p.devices[ends{q.Source, q.Destination}]
	if d.role == agentEnd {
		return nil
	}
	if mtu -= hostnet.Overhead; d.narrow == 0 || mtu < d.narrow {
		d.narrow, d.until = mtu, time.Now().Add(narrowFor)
		if err := p.leadDevice(d); err != nil {
			return err
		}
	}
	return p.icmp.Tell(router, pathmtu.MinimumMTU, q.Original)
}

// widen ends what was learnt of narrow tunnels when it is old.
func (p *Plane) widen(now time.Time) error {
	var errs []error
	for _, d := range p.devices {
		if d.narrow > 0 && now.After(d.until) {
			d.narrow = 0
			errs = append(errs, p.leadDevice(d))
		}
	}
	return errors.Join(errs...)
}

// leadDevice puts the routes of a tunnel's contact addresses again.
func (p *Plane) leadDevice(d *device) error {
	var errs []error
	for _, c := range p.contacts {
		if c.device == d {
			errs = append(errs, p.leadContact(c))
		}
	}
	return errors.Join(errs...)
}

// sent tells whether the quoted packet is one that this host can have sent.
func (p *Plane) sent(q *pathmtu.Quote) bool {
	from, to := q.From(), q.To()
	switch q.Kind {
	case pathmtu.HomeAddress:
		f, ok := p.flows[dataplane.Flow{Home: from, Client: to}]
		if !ok || f.Kind != dataplane.Optimised { // one of its connections, then
			return p.optimised[dataplane.Flow{Home: from, Client: to}] > 0 && p.contacts[from].CareOf == q.Source
		}
		return ok && f.Kind == dataplane.Optimised && f.careOf == q.Source
	case pathmtu.Tunnel:
		_, ok := p.devices[ends{q.Source, q.Destination}]
		return ok
	case pathmtu.RoutingHeader:
		b, ok := p.bindings[bindingID{from, to}]
		return ok && b.CareOf == q.Destination
	default:
		return false
	}
}
