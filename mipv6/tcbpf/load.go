package tcbpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// programs are the loaded objects: the maps, and the programs of the interface.
// The structures made by bpf2go have all programs in one.
type programs struct {
	programsMaps
	mainPrograms
}

type mainPrograms struct {
	VanycastEgress  *ebpf.Program `ebpf:"vanycast_egress"`
	VanycastIngress *ebpf.Program `ebpf:"vanycast_ingress"`
}

// keeperPrograms are those of the interface where packets are kept.
type keeperPrograms struct {
	VanycastKeep    *ebpf.Program `ebpf:"vanycast_keep"`
	VanycastRelease *ebpf.Program `ebpf:"vanycast_release"`
}

// Close gives them back.
func (p *programs) Close() error {
	return errors.Join(p.programsMaps.Close(), p.VanycastEgress.Close(), p.VanycastIngress.Close())
}

// Close gives them back.
func (p *keeperPrograms) Close() error {
	return errors.Join(p.VanycastKeep.Close(), p.VanycastRelease.Close())
}

// besidePrograms are those of the egress beside the kernel's own Mobile IPv6; the
// mouth stands where there is no link header, as the keeper's do.
type besidePrograms struct {
	VanycastMouth *ebpf.Program `ebpf:"vanycast_mouth"`
	VanycastLeave *ebpf.Program `ebpf:"vanycast_leave"`
}

// Close gives them back.
func (p *besidePrograms) Close() error {
	return errors.Join(p.VanycastMouth.Close(), p.VanycastLeave.Close())
}

// fds are those of the programs, by the name of their hook.
func (p *keeperPrograms) fds() map[string]int {
	return map[string]int{"egress": p.VanycastKeep.FD(), "ingress": p.VanycastRelease.FD()}
}

// fds are those of the programs, by the name of their hook.
func (p *programs) fds() map[string]int {
	return map[string]int{"egress": p.VanycastEgress.FD(), "ingress": p.VanycastIngress.FD()}
}

// load puts the programs into the kernel, made for this link; they see no
// packet before attach.
// keeperIndex is the interface where packets are kept, 0 for none.
func load(cfg Config, link netlink.Link, keeperIndex int) (*programs, error) {
	header, err := linkHeader(link)
	if err != nil {
		return nil, err
	}
	spec, err := specification(cfg, link, header, header, keeperIndex)
	if err != nil {
		return nil, err
	}
	spec.Maps["contacts"].MaxEntries = maxContacts
	spec.Maps["routes"].MaxEntries = uint32(cfg.MaxRoutes)
	spec.Maps["stamps"].MaxEntries = uint32(cfg.MaxRoutes)
	spec.Maps["relays"].MaxEntries = maxContacts * uint32(len(dataplane.Peers{}))
	spec.Maps["bindings"].MaxEntries = uint32(cfg.MaxBindings)
	spec.Maps["tunnels"].MaxEntries = uint32(cfg.MaxTunnels)
	p := &programs{}
	if err := spec.LoadAndAssign(p, nil); err != nil {
		return nil, explainLoad(err)
	}
	return p, nil
}

// bare is the link header where packets are kept, and at the mouths of tunnels.
const bare = 0

// loadMore loads more programs into p (a pointer to a structure of them), which
// work on the maps of the others; standing is the link header where they stand.
func loadMore(p any, cfg Config, link netlink.Link, standing uint32, keeperIndex int, shared *programs) error {
	header, err := linkHeader(link)
	if err != nil {
		return err
	}
	spec, err := specification(cfg, link, standing, header, keeperIndex)
	if err != nil {
		return err
	}
	same := map[string]*ebpf.Map{
		"bindings": shared.Bindings, "contacts": shared.Contacts, "counters": shared.Counters, "events": shared.Events,
		"locals": shared.Locals, "relays": shared.Relays, "routes": shared.Routes, "stamps": shared.Stamps,
		"steering": shared.Steering, "tunnels": shared.Tunnels,
	}
	for name, m := range same {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	if err := spec.LoadAndAssign(p, &ebpf.CollectionOptions{MapReplacements: same}); err != nil {
		return explainLoad(err)
	}
	return nil
}

// specification is the objects with what is known when they are loaded: the link
// headers where the programs stand and where packets leave.
func specification(cfg Config, link netlink.Link, standing, leaving uint32, keeperIndex int) (*ebpf.CollectionSpec, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, fmt.Errorf("reading the eBPF objects: %w", err)
	}
	flag := map[bool]uint32{true: 1}
	for name, value := range map[string]uint32{
		"link_header":         standing,
		"leaving_header":      leaving,
		"interface_index":     uint32(link.Attrs().Index),
		"keeper_index":        uint32(keeperIndex),
		"ignore_home_address": flag[cfg.IgnoreHomeAddress],
		"beside_kernel":       flag[cfg.beside],
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return spec, nil
}

func explainLoad(err error) error {
	var v *ebpf.VerifierError
	if errors.As(err, &v) {
		return fmt.Errorf("loading the eBPF programs: %w: %+v", err, v)
	}
	return fmt.Errorf("loading the eBPF programs: %w", dataplane.Explain(err, "CONFIG_BPF_SYSCALL"))
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
