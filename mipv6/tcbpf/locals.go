package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// syncLocals tells the programs all addresses of this host. They must know
// whether a Home Address option is for us or only passing through. The caller
// holds mu, or is New.
func (p *Plane) syncLocals() error {
	list, err := p.nl.AddrList(nil, unix.AF_INET6)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	now := make(map[netip.Addr]bool, len(list))
	var errs []error
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		now[addr] = true
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
