package lab

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	tcx "github.com/cilium/ebpf/link"
)

// filter drops packets on an interface by programs of ours, one for each direction.
// It is there on kernels without netem, and counts what it drops.
type filter struct {
	links []tcx.Link
	state *ebpf.Map // an array; what is in it is the programs' business
}

// What a program answers (linux/pkt_cls.h).
const (
	passPacket = 0 // TC_ACT_OK
	dropPacket = 2 // TC_ACT_SHOT
)

// newFilter attaches the programs that make writes for a direction: AttachTCXIngress,
// what comes by the interface, and AttachTCXEgress, what leaves by it.
func newFilter(h *Host, iface string, state *ebpf.MapSpec, make func(state *ebpf.Map, at ebpf.AttachType) asm.Instructions) (*filter, error) {
	m, err := ebpf.NewMap(state)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	f := &filter{state: m}
	err = h.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			if err := f.attach(i.Index, at, make(m, at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *filter) attach(index int, at ebpf.AttachType, code asm.Instructions) error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: code})
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	defer program.Close() // the link keeps it
	l, err := tcx.AttachTCX(tcx.TCXOptions{Interface: index, Program: program, Attach: at})
	if err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	f.links = append(f.links, l)
	return nil
}

// Close ends it: everything passes again.
func (f *filter) Close() error {
	var errs []error
	for _, l := range f.links {
		errs = append(errs, l.Close())
	}
	f.links = nil
	return errors.Join(append(errs, f.state.Close())...)
}
