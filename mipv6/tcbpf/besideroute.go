package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// SetContact tells the programs of a contact address that is on the host, or is
// about to be.
func (b *Beside) SetContact(wanted dataplane.Contact) error {
	p := b.plane
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if wanted.Steer != (dataplane.Ports{}) && p.keeper == nil {
		return fmt.Errorf("steering: %w: %w", dataplane.ErrUnsupported, p.noKeeper)
	}
	mtu, err := p.host.MTU()
	if err != nil {
		return err
	}
	c, ok := p.contacts[wanted.Home]
	if !ok {
		c = &contact{}
	}
	c.Contact, c.room = wanted, mtu-hostnet.Overhead
	if err := errors.Join(p.putContact(c), p.putRelays(c)); err != nil {
		return err
	}
	if len(p.contacts) == 0 {
		if err := b.attach(); err != nil {
			return err
		}
	}
	p.contacts[wanted.Home] = c
	return nil
}

// RemoveContact forgets a contact address and its flows.
func (b *Beside) RemoveContact(home netip.Addr) error {
	p := b.plane
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	c, ok := p.contacts[home]
	if !ok {
		return nil
	}
	c.removed = true
	c.Relays = dataplane.Peers{}
	errs := []error{remove(p.programs.Contacts, mapAddress(home)), p.putRelays(c), p.keeper.discardAll(home)}
	for f, state := range p.flows {
		if f.Home == home {
			errs = append(errs, p.undoFlow(f, state))
		}
	}
	delete(p.contacts, home)
	if len(p.contacts) == 0 {
		errs = append(errs, b.Detach())
	}
	return errors.Join(errs...)
}

// SetRoute tells the programs of a flow's route.
func (b *Beside) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	p := b.plane
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	return p.setFlow(f, r)
}

// RemoveRoute ends that, and answers for a connection that waits for it.
func (b *Beside) RemoveRoute(f dataplane.Flow) error {
	p := b.plane
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	return p.removeFlow(f)
}

// Mirror brings what the programs know of the host's routes and link in line.
func (b *Beside) Mirror() error {
	p := b.plane
	p.forgetHops()
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	mtu, err := p.host.MTU()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range p.contacts {
		if room := mtu - hostnet.Overhead; c.room != room {
			c.room = room
			errs = append(errs, p.putContact(c))
		}
	}
	for f, state := range p.flows {
		if err := p.mirrorFlow(p.contacts[f.Home], f, state); errors.Is(err, dataplane.ErrUnreachable) {
			p.logger.Warn("no way to send rewritten packets", "for", f, "err", err)
		} else {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// putBeside writes the map entry. The contact address's own routes lead into the
// tunnel, so what goes out with it as its source is sent to a next hop that we
// look up; outer headers' addresses have routes of the host's.
func (p *Plane) putBeside(c *contact, f dataplane.Flow, state *flow) error {
	if state.Peer.IsValid() { // must be in reach
		if _, err := p.hopTo(state.Peer, c.CareOf); err != nil {
			return err
		}
	}
	if state.Kind != dataplane.Direct && state.Via != dataplane.Direct {
		state.gateway = netip.Addr{}
		return p.putFlow(f, state, 0)
	}
	h, err := p.hopTo(f.Client, c.CareOf)
	if err != nil {
		return err
	}
	state.gateway = h.Gateway
	return p.putFlow(f, state, flagRedirect)
}

// Heard is dataplane.Hearer's question.
func (b *Beside) Heard(f dataplane.Flow) (bool, error) { return b.plane.Heard(f) }
