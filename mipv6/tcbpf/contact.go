package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// contact is a contact address on this host.
type contact struct {
	dataplane.Contact
	table     int
	hop       hostnet.Hop    // towards the home agent; zero: none
	installed *netlink.Route // the table's default route
	address   bool           // is on lo
	// connections is how many of its flows are single connections.
	connections int
	room        int             // MTU of the link, less an outer header
	relays      dataplane.Peers // that the programs know
	removed     bool            // the programs know it as gone
}

// SetContact implements dataplane.Plane. A host without a route to the home
// agent by the plane's interface is no error: nothing leaves until there is one.
func (p *Plane) SetContact(c dataplane.Contact) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("tcbpf: %w", err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setContact(c); err != nil {
		return fmt.Errorf("tcbpf: contact address %v: %w", c.Home, err)
	}
	return nil
}

func (p *Plane) setContact(wanted dataplane.Contact) error {
	if wanted.Steer != (dataplane.Ports{}) && p.keeper == nil {
		return fmt.Errorf("steering: %w: %w", dataplane.ErrUnsupported, p.noKeeper)
	}
	c, ok := p.contacts[wanted.Home]
	if ok {
		moved := c.CareOf != wanted.CareOf || c.HomeAgent != wanted.HomeAgent
		wanted.Absent = wanted.Absent && !c.address
		c.Contact = wanted
		if err := errors.Join(p.putRelays(c), p.mirrorContact(c), p.addAddress(c)); err != nil || !moved {
			return err
		}
		return p.mirrorFlows(wanted.Home)
	}
	if p.locals[wanted.Home] {
		return fmt.Errorf("%w: this host has it already, not by us", dataplane.ErrConflict)
	}
	if _, ok := p.homes[wanted.Home]; ok {
		return fmt.Errorf("%w: a binding or a tunnel on this host is for it", dataplane.ErrConflict)
	}
	if err := p.makeRoomForContact(); err != nil {
		return err
	}
	table, err := p.host.FreeTable()
	if err != nil {
		return err
	}
	c = &contact{Contact: wanted, table: table}
	if err := p.installContact(c); err != nil {
		return errors.Join(err, p.undoContact(c))
	}
	p.contacts[wanted.Home] = c
	p.gone = slices.DeleteFunc(p.gone, func(a netip.Addr) bool { return a == wanted.Home })
	return nil
}

// installContact goes from the guard to the address: what is sent from the
// address meets program, rules and route complete. The rule names the address:
// it is what a later process finds, so it comes before what it leads to.
func (p *Plane) installContact(c *contact) error {
	if err := errors.Join(p.putContact(c), p.putRelays(c)); err != nil {
		return err
	}
	if err := p.host.AddRules(c.Home, c.table); err != nil {
		return err
	}
	if err := p.mirrorContact(c); err != nil {
		return err
	}
	return p.addAddress(c)
}

// addAddress puts a contact address on the host, if it is wanted there.
func (p *Plane) addAddress(c *contact) error {
	if c.address || c.Absent {
		return nil
	}
	c.address = true
	if err := p.host.AddContactAddress(c.Home, 0); err != nil {
		return err
	}
	p.locals[c.Home] = true
	return put(p.programs.Locals, mapAddress(c.Home), uint32(1))
}

// mirrorContact brings the table's default route in line with the host's route
// to the home agent.
func (p *Plane) mirrorContact(c *contact) error {
	h, err := p.host.Lookup(c.HomeAgent, c.CareOf)
	if errors.Is(err, dataplane.ErrUnreachable) {
		if c.installed != nil || !c.address { // is news
			p.logger.Warn("home agent is unreachable: the contact address is silent", "contact", c.Home, "home_agent", c.HomeAgent, "err", err)
		}
		h = hostnet.Hop{}
	} else if err != nil {
		return err
	}
	mtu, err := p.host.MTU()
	if err != nil {
		return fmt.Errorf("MTU of %s: %w", p.cfg.Interface, err)
	}
	c.hop, c.room = h, mtu-hostnet.Overhead
	if err := p.putContact(c); err != nil {
		return err
	}
	if h == (hostnet.Hop{}) {
		old := c.installed
		c.installed = nil
		return p.host.DeleteRoute(old)
	}
	return p.host.SetRoute(&c.installed, p.host.Route(hostnet.Everywhere, c.table, h))
}

func (p *Plane) putContact(c *contact) error {
	if c.removed {
		return nil
	}
	v := mapContact{
		CareOf:    mapAddress(c.CareOf),
		HomeAgent: mapAddress(c.HomeAgent),
		Gateway:   mapAddress(c.hop.Gateway),
		Room:      uint32(max(c.room, 0)),
	}
	if c.connections > 0 {
		v.Connections = 1
	}
	used := 0
	for _, port := range c.Steer {
		if port != 0 {
			v.Steer[used] = networkOrder(port)
			used++
		}
	}
	return put(p.programs.Contacts, mapAddress(c.Home), v)
}

// putRelays tells the programs who may relay SYNs to a contact address.
func (p *Plane) putRelays(c *contact) error {
	var errs []error
	for _, peer := range c.relays {
		if peer.IsValid() && !c.Relays.Has(peer) {
			errs = append(errs, remove(p.programs.Relays, bindingKey(c.Home, peer)))
		}
	}
	for _, peer := range c.Relays {
		if peer.IsValid() && !c.relays.Has(peer) {
			errs = append(errs, put(p.programs.Relays, bindingKey(c.Home, peer), uint32(1)))
		}
	}
	c.relays = c.Relays
	return errors.Join(errs...)
}

// RemoveContact implements dataplane.Plane.
func (p *Plane) RemoveContact(home netip.Addr) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	c, ok := p.contacts[home]
	if !ok {
		return nil
	}
	if err := p.undoContact(c); err != nil {
		return fmt.Errorf("tcbpf: removing contact address %v: %w", home, err)
	}
	delete(p.contacts, home)
	return nil
}

// undoContact goes back the way of installContact. The program keeps the
// address as one that is gone: sockets that are still bound to it must not send.
func (p *Plane) undoContact(c *contact) error {
	c.removed = true
	errs := []error{p.markGone(c.Home, mapContact{CareOf: mapAddress(c.CareOf), HomeAgent: mapAddress(c.HomeAgent)})}
	c.Relays = dataplane.Peers{}
	errs = append(errs, p.putRelays(c), p.keeper.discardAll(c.Home))
	if c.address {
		delete(p.locals, c.Home)
		errs = append(errs, remove(p.programs.Locals, mapAddress(c.Home)))
		errs = append(errs, p.host.RemoveContactAddress(c.Home))
	}
	for f, state := range p.flows {
		if f.Home == c.Home {
			errs = append(errs, p.undoFlow(f, state))
		}
	}
	return errors.Join(append(errs, p.host.DeleteRoute(c.installed), p.host.RemoveRules(c.Home, c.table))...)
}

// markGone lets nothing more leave with this source.
func (p *Plane) markGone(home netip.Addr, v mapContact) error {
	v.Gone = 1
	if err := put(p.programs.Contacts, mapAddress(home), v); err != nil {
		return err
	}
	if !slices.Contains(p.gone, home) {
		p.gone = append(p.gone, home)
	}
	return nil
}

// notGone ends the guard on an address that was a contact address here and now
// is somebody else's home address that this host serves.
func (p *Plane) notGone(home netip.Addr) error {
	i := slices.Index(p.gone, home)
	if i < 0 {
		return nil
	}
	p.gone = slices.Delete(p.gone, i, i+1)
	return remove(p.programs.Contacts, mapAddress(home))
}

// makeRoomForContact forgets the longest gone contact address where the map is full.
func (p *Plane) makeRoomForContact() error {
	for len(p.contacts)+len(p.gone) >= maxContacts && len(p.gone) > 0 {
		if err := remove(p.programs.Contacts, mapAddress(p.gone[0])); err != nil {
			return err
		}
		p.gone = p.gone[1:]
	}
	return nil
}
