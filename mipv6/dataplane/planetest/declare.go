package planetest

import (
	"errors"
	"maps"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// SetContact implements dataplane.Plane.
func (p *Plane) SetContact(c dataplane.Contact) error {
	return p.change(Call{Method: "SetContact", Object: c}, c.Check, func() error {
		return set(p, p.contacts, c.Home, c)
	})
}

// RemoveContact implements dataplane.Plane.
func (p *Plane) RemoveContact(home netip.Addr) error {
	return p.change(Call{Method: "RemoveContact", Object: home}, nothing, func() error {
		delete(p.contacts, home)
		maps.DeleteFunc(p.routes, func(f dataplane.Flow, _ dataplane.Route) bool { return f.Home == home })
		return nil
	})
}

// SetRoute implements dataplane.Plane.
func (p *Plane) SetRoute(f dataplane.Flow, r dataplane.Route) error {
	check := func() error { return errors.Join(f.Check(), r.Check()) }
	return p.change(Call{Method: "SetRoute", Object: f, Route: r}, check, func() error {
		if _, ok := p.contacts[f.Home]; !ok {
			return dataplane.ErrNoContact
		}
		if old := p.routes[f]; r.Kind == dataplane.RelayTo && (old.Kind != r.Kind || old.Peer != r.Peer) {
			delete(p.heard, f)
		}
		return set(p, p.routes, f, r)
	})
}

// RemoveRoute implements dataplane.Plane.
func (p *Plane) RemoveRoute(f dataplane.Flow) error {
	return p.change(Call{Method: "RemoveRoute", Object: f}, nothing, func() error {
		delete(p.routes, f)
		return nil
	})
}

// SetRoutes implements dataplane.Batcher: each change is a Call of its own.
func (p *Plane) SetRoutes(changes []dataplane.Change) error {
	var errs []error
	for _, c := range changes {
		set := func() error { return p.SetRoute(c.Flow, c.Route) }
		if c.Remove {
			set = func() error { return p.RemoveRoute(c.Flow) }
		}
		err := set()
		if err != nil {
			errs = append(errs, &dataplane.ChangeError{Change: c, Err: err})
		}
	}
	return errors.Join(errs...)
}

// SetBinding implements dataplane.Plane.
func (p *Plane) SetBinding(b dataplane.Binding) error {
	return p.change(Call{Method: "SetBinding", Object: b}, b.Check, func() error {
		if _, ok := p.contacts[b.Local]; ok {
			return dataplane.ErrConflict
		}
		return set(p, p.bindings, [2]netip.Addr{b.Local, b.Home}, b)
	})
}

// RemoveBinding implements dataplane.Plane.
func (p *Plane) RemoveBinding(local, home netip.Addr) error {
	return p.change(Call{Method: "RemoveBinding", Object: dataplane.Binding{Local: local, Home: home}}, nothing, func() error {
		delete(p.bindings, [2]netip.Addr{local, home})
		return nil
	})
}

// SetTunnel implements dataplane.Plane.
func (p *Plane) SetTunnel(t dataplane.Tunnel) error {
	return p.change(Call{Method: "SetTunnel", Object: t}, t.Check, func() error {
		return set(p, p.tunnels, t.Home, t)
	})
}

// RemoveTunnel implements dataplane.Plane.
func (p *Plane) RemoveTunnel(home netip.Addr) error {
	return p.change(Call{Method: "RemoveTunnel", Object: home}, nothing, func() error {
		delete(p.tunnels, home)
		return nil
	})
}
