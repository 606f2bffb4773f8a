package xfrm

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

type bindingID struct{ local, home netip.Addr }

// SetBinding implements dataplane.Plane. A binding whose local address is a
// contact address of this host is refused (dataplane.ErrConflict): a packet
// cannot leave a mobile node and go to one with 40 bytes of room. One whose
// care-of address is not reached by the plane's interface is
// dataplane.ErrUnreachable.
func (p *Plane) SetBinding(b dataplane.Binding) error {
	if err := b.Check(); err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := p.setBinding(b); err != nil {
		return fmt.Errorf("xfrm: binding of %v to %v for %v: %w", b.Home, b.CareOf, b.Local, err)
	}
	return nil
}

func (p *Plane) setBinding(b dataplane.Binding) error {
	if _, ok := p.contacts[b.Local]; ok {
		return fmt.Errorf("%w: the local address is a contact address", dataplane.ErrConflict)
	}
	if p.locals[b.Home] {
		return fmt.Errorf("%w: the home address is this host's own", dataplane.ErrConflict)
	}
	id := bindingID{b.Local, b.Home}
	old, known := p.bindings[id]
	if known && old == b {
		return nil
	}
	if !known && len(p.bindings) >= p.cfg.MaxBindings {
		return fmt.Errorf("%w: %d bindings", dataplane.ErrFull, len(p.bindings))
	}
	h, err := p.boundHome(b.Home, b.CareOf, b.Local)
	if err != nil {
		return err
	}
	if known {
		err = p.replace(bindingRules(old), bindingRules(b))
	} else if err = p.install(bindingRules(b)); err != nil {
		err = errors.Join(err, p.uninstall(bindingRules(b)))
	}
	if err != nil {
		return errors.Join(err, p.releaseHome(b.Home))
	}
	if !known {
		h.bindings++
	}
	p.bindings[id] = b
	return nil
}

// RemoveBinding implements dataplane.Plane.
func (p *Plane) RemoveBinding(local, home netip.Addr) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	id := bindingID{local, home}
	b, ok := p.bindings[id]
	if !ok {
		return nil
	}
	if err := p.uninstall(bindingRules(b)); err != nil {
		return fmt.Errorf("xfrm: removing binding of %v for %v: %w", home, local, err)
	}
	delete(p.bindings, id)
	if h, ok := p.homes[home]; ok {
		h.bindings--
	}
	if err := p.releaseHome(home); err != nil {
		return fmt.Errorf("xfrm: removing binding of %v for %v: %w", home, local, err)
	}
	return nil
}
