package lab

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// HeaderFilter drops TCP segments that have an extension header, as many networks do
// (RFC 9098), on their way through an interface of a router. Mobility Headers pass,
// with extension headers or without.
type HeaderFilter struct{ *filter }

// DropExtensionHeaders begins it, on the interface's both directions: of what has
// destination options (towards a client: the Home Address option), a routing header
// (from one: type 2), or both. It ends with the test, or by Close.
func (h *Host) DropExtensionHeaders(iface string, options, routing bool) *HeaderFilter {
	h.net.tb.Helper()
	f, err := newFilter(h, iface, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		func(count *ebpf.Map, _ ebpf.AttachType) asm.Instructions { return dropHeaders(count, options, routing) })
	if err != nil {
		h.net.tb.Fatalf("lab: dropping extension headers on %s: %v", iface, err)
	}
	h.net.tb.Cleanup(func() { _ = f.Close() })
	return &HeaderFilter{f}
}

// dropHeaders is the program. The first extension header is looked at, and what comes
// behind it; the links of a laboratory are Ethernet.
func dropHeaders(count *ebpf.Map, options, routing bool) asm.Instructions {
	const ethernet, base = 14, 40 // the lengths of Ethernet's header and IPv6's
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
		asm.Mov.Imm(asm.R0, dropPacket).WithSymbol("drop"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, passPacket).WithSymbol("pass"),
		asm.Return(),
	}
}

// Dropped is the number of segments so far.
func (f *HeaderFilter) Dropped() (n uint64, err error) {
	err = f.state.Lookup(uint32(0), &n)
	return n, err
}
