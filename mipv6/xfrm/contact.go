package xfrm

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// contact is a contact address on this host.
type contact struct {
	dataplane.Contact
	table     int
	device    *device
	installed *netlink.Route // the table's default route, into the tunnel
	address   bool           // is on lo
}

// SetContact implements dataplane.Plane.
func (p *Plane) SetContact(c dataplane.Contact) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setContact(c); err != nil {
		return fmt.Errorf("xfrm: contact address %v: %w", c.Home, err)
	}
	return nil
}

func (p *Plane) setContact(wanted dataplane.Contact) error {
	if p.beside == nil && wanted.Steer != (dataplane.Ports{}) {
		return fmt.Errorf("steering: %w: %w", dataplane.ErrUnsupported, p.noBeside)
	}
	if c, ok := p.contacts[wanted.Home]; ok {
		wanted.Absent = wanted.Absent && !c.address
		if c.Contact == wanted {
			return nil
		}
		if err := p.changeContact(c, wanted); err != nil {
			return err
		}
		return p.addAddress(c)
	}
	if p.locals[wanted.Home] {
		return fmt.Errorf("%w: this host has it already, not by us", dataplane.ErrConflict)
	}
	if _, ok := p.homes[wanted.Home]; ok {
		return fmt.Errorf("%w: a binding or a tunnel on this host is for it", dataplane.ErrConflict)
	}
	if len(p.contacts) >= maxContacts {
		return fmt.Errorf("%w: %d contact addresses", dataplane.ErrFull, len(p.contacts))
	}
	table, err := p.host.FreeTable()
	if err != nil {
		return err
	}
	c := &contact{Contact: wanted, table: table}
	if err := p.installContact(c); err != nil {
		return errors.Join(err, p.undoContact(c))
	}
	p.contacts[wanted.Home] = c
	return nil
}

// installContact goes from the guard to the address: what is sent from the
// address meets everything complete. The rule names the address: it is what a
// later process finds, so it comes before what it leads to.
func (p *Plane) installContact(c *contact) (err error) {
	if err := p.setGuard(c.Home); err != nil {
		return err
	}
	if err := p.host.AddRules(c.Home, c.table); err != nil {
		return err
	}
	if c.device, err = p.useDevice(ends{c.CareOf, c.HomeAgent}, c.Home, replicaEnd); err != nil {
		return err
	}
	if err := p.install(contactRules(c.Contact)); err != nil {
		return err
	}
	if err := p.leadContact(c); err != nil {
		return err
	}
	if err := p.tellBeside(c); err != nil {
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
	if err := p.host.AddContactAddress(c.Home, unix.IFA_F_HOMEADDRESS); err != nil {
		return err
	}
	p.locals[c.Home] = true
	return nil
}

func (p *Plane) leadContact(c *contact) error {
	route, err := p.through(c.device, everywhere, c.table)
	if err != nil {
		return err
	}
	return p.host.SetRoute(&c.installed, route)
}

// changeContact moves a contact address to another care-of address or home agent.
func (p *Plane) changeContact(c *contact, wanted dataplane.Contact) error {
	old, was := c.device, c.Contact
	d, err := p.useDevice(ends{wanted.CareOf, wanted.HomeAgent}, c.Home, replicaEnd)
	if err != nil {
		return err
	}
	if d != old {
		if err := p.moveHolds(c, old, d); err != nil {
			return err
		}
	}
	c.Contact, c.device = wanted, d
	if err := errors.Join(p.leadContact(c), p.tellBeside(c)); err != nil {
		return err
	}
	if err := p.replace(contactRules(was), contactRules(wanted)); err != nil {
		return err
	}
	if was.CareOf != wanted.CareOf {
		if err := p.moveStates(c.Home, wanted.CareOf); err != nil {
			return err
		}
	}
	var errs []error
	for f, state := range p.flows {
		if f.Home == c.Home && state.careOf != wanted.CareOf {
			errs = append(errs, p.putFlow(f, state, state.Route, wanted.CareOf))
		}
	}
	if old != d {
		errs = append(errs, p.releaseDevice(old, c.Home))
	}
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
		return fmt.Errorf("xfrm: removing contact address %v: %w", home, err)
	}
	delete(p.contacts, home)
	return nil
}

// undoContact goes back the way of installContact, but for the guard.
func (p *Plane) undoContact(c *contact) error {
	var errs []error
	if c.address {
		delete(p.locals, c.Home)
		errs = append(errs, p.host.RemoveContactAddress(c.Home))
	}
	if p.beside != nil {
		errs = append(errs, p.beside.RemoveContact(c.Home))
	}
	for f, state := range p.flows {
		if f.Home == c.Home {
			errs = append(errs, p.undoFlow(f, state))
		}
	}
	errs = append(errs, p.uninstall(contactRules(c.Contact)), p.host.DeleteRoute(c.installed),
		p.host.RemoveRules(c.Home, c.table), p.retire(c.Home))
	return errors.Join(append(errs, p.releaseDevice(c.device, c.Home))...)
}
