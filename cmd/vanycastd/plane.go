package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/mipv6/xfrm"
)

// opener makes a data plane; an error that is a dataplane.MissingError says what
// this kernel was built without.
type opener func() (dataplane.Plane, error)

// openPlane opens the data plane that the configuration names, and says which
// it is.
func openPlane(cfg *conf.Config, logger *slog.Logger) (dataplane.Plane, conf.DataPlane, error) {
	iface := cfg.Node.Interface
	// Without a correspondent or home agent nobody here could say which home
	// addresses are true.
	ignore := !cfg.Has(conf.RoleCorrespondent) && !cfg.Has(conf.RoleHomeAgent)
	// A process that died may have used the other one.
	byKernel := func() (dataplane.Plane, error) {
		if err := tcbpf.CleanUp(iface, logger); err != nil {
			return nil, err
		}
		return xfrm.New(xfrm.Config{Interface: iface, Logger: logger, IgnoreHomeAddress: ignore, MaxTunnels: maxTunnels(cfg), Protected: protected(cfg)})
	}
	byBPF := func() (dataplane.Plane, error) {
		if err := xfrm.CleanUp(iface, logger); err != nil {
			return nil, err
		}
		p, err := tcbpf.New(tcbpf.Config{Interface: iface, Logger: logger, IgnoreHomeAddress: ignore, MaxTunnels: maxTunnels(cfg)})
		if err == nil {
			return p, nil
		}
		// The probe may say it in the administrator's words.
		if missing := tcbpf.Probe(); errors.As(missing, new(*dataplane.MissingError)) {
			err = missing
		}
		return nil, err
	}
	plane, kind, err := choosePlane(cfg.Node.DataPlane, byKernel, byBPF)
	if err != nil {
		return nil, "", fmt.Errorf("data plane: %w", err)
	}
	logger.Info("data plane", "kind", kind)
	return plane, kind, nil
}

// choosePlane takes the one that is wanted. "auto" takes the kernel's own Mobile
// IPv6 where the kernel has it; where it has nothing that would do, the error is
// one line that names what is missing for either.
func choosePlane(wanted conf.DataPlane, byKernel, byBPF opener) (dataplane.Plane, conf.DataPlane, error) {
	var noMobileIPv6, noBPF *dataplane.MissingError
	if wanted != conf.DataPlaneBPF {
		plane, err := byKernel()
		if err == nil {
			return plane, conf.DataPlaneXFRM, nil
		}
		if wanted == conf.DataPlaneXFRM || !errors.As(err, &noMobileIPv6) {
			return nil, "", err
		}
	}
	plane, err := byBPF()
	if err == nil {
		return plane, conf.DataPlaneBPF, nil
	}
	if noMobileIPv6 != nil && errors.As(err, &noBPF) {
		return nil, "", fmt.Errorf("this kernel has neither Mobile IPv6 (%s) nor what eBPF needs (%s): %w", noMobileIPv6.Option, noBPF.Option, err)
	}
	return nil, "", err
}

// protected are this replica's contact addresses with IPsec.
func protected(cfg *conf.Config) (contacts []netip.Addr) {
	for _, p := range cfg.IPsec {
		if cfg.IPsecReplica(p) {
			contacts = append(contacts, p.ContactAddress)
		}
	}
	return contacts
}

// maxTunnels is how many home agent bindings the data plane must hold; 0, its
// default, without that role.
func maxTunnels(cfg *conf.Config) int {
	if cfg.HomeAgent == nil {
		return 0
	}
	return cfg.HomeAgent.MaxBindings
}
