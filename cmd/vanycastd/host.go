package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/conf"
)

// resolveCareOf settles the care-of address and checks that the host has it.
func resolveCareOf(cfg *conf.Config) error {
	addrs, err := globalAddresses(cfg.Node.Interface)
	if err != nil {
		return err
	}
	if !cfg.Node.CareOf.IsValid() {
		var first netip.Addr
		if len(addrs) > 0 {
			first = addrs[0]
		} else if cfg.Has(conf.RoleReplica) {
			return fmt.Errorf("interface %s has no global IPv6 address to be the care-of address", cfg.Node.Interface)
		}
		return cfg.ResolveCareOf(first)
	}
	for _, a := range addrs {
		if a == cfg.Node.CareOf {
			return nil
		}
	}
	return fmt.Errorf("care-of address %v is not on interface %s (it has %v)", cfg.Node.CareOf, cfg.Node.Interface, addrs)
}

// globalAddresses are an interface's global unicast IPv6 addresses, in the
// kernel's order.
func globalAddresses(name string) ([]netip.Addr, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	list, err := iface.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: addresses: %w", name, err)
	}
	var out []netip.Addr
	for _, entry := range list {
		p, err := netip.ParsePrefix(entry.String())
		if err == nil && p.Addr().Is6() && !p.Addr().Is4In6() && p.Addr().IsGlobalUnicast() {
			out = append(out, p.Addr())
		}
	}
	return out, nil
}
