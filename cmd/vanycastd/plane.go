package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/mipv6/xfrm"
)

// openPlane opens the data plane that the configuration names, and says which
// it is. "auto" takes the kernel's own Mobile IPv6 where the kernel has it.
func openPlane(cfg *conf.Config, logger *slog.Logger) (dataplane.Plane, conf.DataPlane, error) {
	kind, err := choosePlane(cfg.Node.DataPlane, xfrm.Probe, tcbpf.Probe)
	if err != nil {
		return nil, "", fmt.Errorf("data plane: %w", err)
	}
	logger.Info("data plane", "kind", kind)
	// Without a correspondent or home agent nobody here could say which home
	// addresses are true.
	ignore := !cfg.Has(conf.RoleCorrespondent) && !cfg.Has(conf.RoleHomeAgent)
	var plane dataplane.Plane
	// A process that died may have used the other one.
	if kind == conf.DataPlaneXFRM {
		if err = tcbpf.CleanUp(cfg.Node.Interface, logger); err == nil {
			plane, err = xfrm.New(xfrm.Config{Interface: cfg.Node.Interface, Logger: logger, IgnoreHomeAddress: ignore, MaxTunnels: maxTunnels(cfg)})
		}
	} else {
		if err = xfrm.CleanUp(cfg.Node.Interface, logger); err == nil {
			plane, err = tcbpf.New(tcbpf.Config{Interface: cfg.Node.Interface, Logger: logger, IgnoreHomeAddress: ignore, MaxTunnels: maxTunnels(cfg)})
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("data plane: %w", err)
	}
	return plane, kind, nil
}

// choosePlane asks the probes. Where the kernel lacks something the error is one
// line that names the option: of both data planes where either would have done.
func choosePlane(wanted conf.DataPlane, probeXFRM, probeBPF func() error) (conf.DataPlane, error) {
	if wanted != conf.DataPlaneBPF {
		err := probeXFRM()
		if err == nil {
			return conf.DataPlaneXFRM, nil
		}
		if wanted == conf.DataPlaneXFRM {
			return "", fmt.Errorf("node.dataplane = %q: %w", wanted, err)
		}
		if bpf := probeBPF(); bpf != nil {
			var a, b *dataplane.MissingError
			if errors.As(err, &a) && errors.As(bpf, &b) {
				return "", fmt.Errorf("this kernel has neither Mobile IPv6 (%s) nor what eBPF needs (%s)", a.Option, b.Option)
			}
			return "", fmt.Errorf("neither of the two works: %v; %w", err, bpf)
		}
		return conf.DataPlaneBPF, nil
	}
	if err := probeBPF(); err != nil {
		return "", fmt.Errorf("node.dataplane = %q: %w", wanted, err)
	}
	return conf.DataPlaneBPF, nil
}

// maxTunnels is how many home agent bindings the data plane must hold; 0, its
// default, without that role.
func maxTunnels(cfg *conf.Config) int {
	if cfg.HomeAgent == nil {
		return 0
	}
	return cfg.HomeAgent.MaxBindings
}
