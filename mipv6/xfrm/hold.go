package xfrm

import (
	"errors"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// A held flow sends nothing. A policy that blocks would do that too loudly: the
// socket's call fails, also the connect of one that a handoff is about to
// insert. So its packets go the way to the tunnel, as those of any flow without a
// policy, and are dropped where they would enter it. Mobility Headers pass.

// hold drops what the flow sends.
func (p *Plane) hold(d *device, f dataplane.Flow) error {
	if _, ok := d.holds[f]; ok {
		return nil
	}
	filter := filter(d.link, egress, preferenceHeld, freeHandle(d.holds))
	handle, err := p.newFilter(d.link, match(filter, netlink.TC_ACT_SHOT, address(source, f.Home), address(destination, f.Client)))
	if err != nil {
		return err
	}
	d.holds[f] = handle
	return nil
}

// unhold ends that.
func (p *Plane) unhold(d *device, f dataplane.Flow) error {
	handle, ok := d.holds[f]
	if !ok {
		return nil
	}
	if err := p.deleteFilter(filter(d.link, egress, preferenceHeld, handle)); err != nil {
		return err
	}
	delete(d.holds, f)
	return nil
}

// moveHolds takes the holds of a contact address's flows to another tunnel.
func (p *Plane) moveHolds(c *contact, from, to *device) error {
	var errs []error
	for f := range from.holds {
		if f.Home == c.Home {
			errs = append(errs, p.hold(to, f), p.unhold(from, f))
		}
	}
	return errors.Join(errs...)
}
