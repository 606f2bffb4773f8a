package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
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

// openPlane opens the data plane that the configuration names. "auto" takes
// eBPF: the kernel's own Mobile IPv6 has no backend in this version.
func openPlane(cfg *conf.Config, logger *slog.Logger) (dataplane.Plane, error) {
	if cfg.Node.DataPlane == conf.DataPlaneXFRM {
		return nil, errors.New(`node.dataplane = "xfrm": this version has no backend for the kernel's own Mobile IPv6; use "bpf" or "auto"`)
	}
	p, err := tcbpf.New(tcbpf.Config{
		Interface:  cfg.Node.Interface,
		Logger:     logger,
		MaxTunnels: maxTunnels(cfg),
		// Without a correspondent or home agent nobody here could say which
		// home addresses are true.
		IgnoreHomeAddress: !cfg.Has(conf.RoleCorrespondent) && !cfg.Has(conf.RoleHomeAgent),
	})
	if err == nil {
		return p, nil
	}
	// The probe may say it in the administrator's words.
	if missing := tcbpf.Probe(); errors.As(missing, new(*tcbpf.MissingError)) {
		err = missing
	}
	return nil, fmt.Errorf("data plane: %w", err)
}

// maxTunnels is how many home agent bindings the data plane must hold; 0, its
// default, without that role.
func maxTunnels(cfg *conf.Config) int {
	if cfg.HomeAgent == nil {
		return 0
	}
	return cfg.HomeAgent.MaxBindings
}
