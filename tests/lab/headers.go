package lab

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	tcx "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// HeaderFilter drops TCP segments that have an extension header, as many networks do
// (RFC 9098), on their way through an interface of a router. Mobility Headers pass,
// with extension headers or without.
type HeaderFilter struct {
	links []tcx.Link
	count *ebpf.Map
}

// DropExtensionHeaders begins it, on the interface's both directions: of what has
// destination options (towards a client: the Home Address option), a routing header
// (from one: type 2), or both. It ends with the test, or by Close.
func (h *Host) DropExtensionHeaders(iface string, options, routing bool) *HeaderFilter {
	h.net.tb.Helper()
	f, err := newHeaderFilter(h, iface, options, routing)
	if err != nil {
		h.net.tb.Fatalf("lab: dropping extension headers on %s: %v", iface, err)
	}
	h.net.tb.Cleanup(func() { _ = f.Close() })
	return f
}

func newHeaderFilter(h *Host, iface string, options, routing bool) (*HeaderFilter, error) {
	count, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("counter: %w", err)
	}
	f := &HeaderFilter{count: count}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: dropHeaders(count, options, routing)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("program: %w", err), f.Close())
	}
	defer program.Close()
	err = h.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			l, err := tcx.AttachTCX(tcx.TCXOptions{Interface: i.Index, Program: program, Attach: at})
			if err != nil {
				return fmt.Errorf("attaching: %w", err)
			}
			f.links = append(f.links, l)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// dropHeaders is the program. The first extension header is looked at, and what comes
// behind it; the links of a laboratory are Ethernet.
func dropHeaders(count *ebpf.Map, options, routing bool) asm.Instructions {
	const ethernet, base, pass, drop = 14, 40, 0, 2 // Ethernet, IPv6; TC_ACT_OK, TC_ACT_SHOT
	never := int32(-1)
	header := func(on bool, number int32) int32 {
		if on {
			return number
		}
		return never
	}
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadAbs(12, asm.Half),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IPV6, "pass"),
		asm.LoadAbs(ethernet+6, asm.Byte),
		asm.JEq.Imm(asm.R0, header(options, unix.IPPROTO_DSTOPTS), "behind"),
		asm.JNE.Imm(asm.R0, header(routing, unix.IPPROTO_ROUTING), "pass"),
		asm.LoadAbs(ethernet+base, asm.Byte).WithSymbol("behind"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "pass"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, count.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, drop).WithSymbol("drop"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"),
		asm.Return(),
	}
}

// Dropped is the number of segments so far.
func (f *HeaderFilter) Dropped() (n uint64, err error) {
	err = f.count.Lookup(uint32(0), &n)
	return n, err
}

// Close ends it: everything passes again.
func (f *HeaderFilter) Close() error {
	var errs []error
	for _, l := range f.links {
		errs = append(errs, l.Close())
	}
	f.links = nil
	return errors.Join(append(errs, f.count.Close())...)
}
