package firstwindow

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Of struct bpf_sock_ops and bpf_setsockopt (linux/bpf.h).
const (
	offsetOp             = 0
	offsetSocket         = 184
	opActiveEstablished  = 4
	opPassiveEstablished = 5
	optInitialWindow     = 1001 // TCP_BPF_IW
)

// mapSpec is the map: to a socket, by its descriptor, how many segments. A
// listener's goes to the connections that it accepts.
func mapSpec() *ebpf.MapSpec {
	const flags = unix.BPF_F_NO_PREALLOC | unix.BPF_F_CLONE
	return &ebpf.MapSpec{
		Name: "first_window", Type: ebpf.SkStorage, Flags: flags,
		KeySize: 4, Key: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		ValueSize: 4, Value: &btf.Int{Name: "unsigned int", Size: 4},
	}
}

// programSpec is the program, in C:
//
//	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
//		unsigned *set = ops->sk ? bpf_sk_storage_get(&first_window, ops->sk, NULL, 0) : NULL;
//		if (set) {
//			unsigned window = *set;
//			bpf_setsockopt(ops, IPPROTO_TCP, TCP_BPF_IW, &window, sizeof window);
//		}
//	}
//	return 1;
func programSpec(windows *ebpf.Map) *ebpf.ProgramSpec {
	const out, look, window = "out", "look", -4
	return &ebpf.ProgramSpec{
		Name: "first_window", Type: ebpf.SockOps, AttachType: ebpf.AttachCGroupSockOps, License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadMem(asm.R1, asm.R6, offsetOp, asm.Word),
			asm.JEq.Imm(asm.R1, opActiveEstablished, look),
			asm.JNE.Imm(asm.R1, opPassiveEstablished, out),
			asm.LoadMem(asm.R2, asm.R6, offsetSocket, asm.DWord).WithSymbol(look),
			asm.JEq.Imm(asm.R2, 0, out),
			asm.LoadMapPtr(asm.R1, windows.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnSkStorageGet.Call(),
			asm.JEq.Imm(asm.R0, 0, out),
			asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
			asm.StoreMem(asm.RFP, window, asm.R1, asm.Word),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, unix.IPPROTO_TCP),
			asm.Mov.Imm(asm.R3, optInitialWindow),
			asm.Mov.Reg(asm.R4, asm.RFP),
			asm.Add.Imm(asm.R4, window),
			asm.Mov.Imm(asm.R5, 4),
			asm.FnSetsockopt.Call(),
			asm.Mov.Imm(asm.R0, 1).WithSymbol(out),
			asm.Return(),
		},
	}
}
