package tcbpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// programs are the loaded objects; programsObjects is made by bpf2go.
type programs struct{ programsObjects }

// fds are those of the programs, by the name of their hook.
func (p *programs) fds() map[string]int {
	return map[string]int{"egress": p.VanycastEgress.FD(), "ingress": p.VanycastIngress.FD()}
}

// load puts the programs into the kernel, made for this link; they see no
// packet before attach.
func load(cfg Config, link netlink.Link) (*programs, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, fmt.Errorf("reading the eBPF objects: %w", err)
	}
	header, err := linkHeader(link)
	if err != nil {
		return nil, err
	}
	ignore := uint32(0)
	if cfg.IgnoreHomeAddress {
		ignore = 1
	}
	for name, value := range map[string]uint32{
		"link_header":         header,
		"interface_index":     uint32(link.Attrs().Index),
		"ignore_home_address": ignore,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	spec.Maps["contacts"].MaxEntries = maxContacts
	spec.Maps["routes"].MaxEntries = uint32(cfg.MaxRoutes)
	spec.Maps["bindings"].MaxEntries = uint32(cfg.MaxBindings)
	spec.Maps["tunnels"].MaxEntries = uint32(cfg.MaxTunnels)
	p := &programs{}
	if err := spec.LoadAndAssign(&p.programsObjects, nil); err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			return nil, fmt.Errorf("loading the eBPF programs: %w: %+v", err, v)
		}
		return nil, fmt.Errorf("loading the eBPF programs: %w", dataplane.Explain(err, "CONFIG_BPF_SYSCALL"))
	}
	return p, nil
}

// linkHeader is how many bytes stand before the IPv6 header at the hooks.
func linkHeader(link netlink.Link) (uint32, error) {
	switch kind := link.Attrs().EncapType; kind {
	case "ether", "loopback":
		return 14, nil
	case "none", "ppp", "tunnel6", "sit":
		return 0, nil
	default:
		return 0, fmt.Errorf("interface %s: link type %q is not supported", link.Attrs().Name, kind)
	}
}
