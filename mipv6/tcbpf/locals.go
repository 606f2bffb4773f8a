package tcbpf

import "errors"

// syncLocals tells the programs all addresses of this host. They must know
// whether a Home Address option is for us or only passing through. The caller
// holds mu, or is New.
func (p *Plane) syncLocals() error {
	now, err := p.host.Addresses()
	if err != nil {
		return err
	}
	var errs []error
	for addr := range now {
		if !p.locals[addr] {
			errs = append(errs, put(p.programs.Locals, mapAddress(addr), uint32(1)))
		}
	}
	for addr := range p.locals {
		if !now[addr] {
			errs = append(errs, remove(p.programs.Locals, mapAddress(addr)))
		}
	}
	p.locals = now
	return errors.Join(errs...)
}
