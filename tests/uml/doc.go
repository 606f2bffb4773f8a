// Package uml is the second laboratory: a Linux 6.1 with the kernel's own
// Mobile IPv6, IPsec, tunnels and netem, which runs as an ordinary process
// (Debian's package user-mode-linux), without KVM and without root.
//
//	host                                guest (Linux 6.1, one processor)
//	┌───────────────────┐   boots       ┌───────────────────────────────────┐
//	│ go test           ├──────────────►│ umlboot as init: mounts, modules  │
//	│  └ uml.Boot       │               │  └ sh -c COMMAND, as root         │
//	│     └ umlboot     │               │     └ test binaries, tests/lab    │
//	│        └ linux.uml│◄──────────────┤        (namespaces, veth, netem)  │
//	└───────────────────┘ hostfs OUT    └───────────────────────────────────┘
//
// The guest's root is the host's own file tree, read-only; results go out
// through a second, writable one, mounted at [OutDir].
//
// Two things that the host's processor forces on us. User-mode Linux 6.1 keeps
// its processes' floating point registers with ptrace(PTRACE_SETREGSET,
// NT_X86_XSTATE), and a host whose register file is larger than 6.1 knew of
// (AMX) answers EFAULT, on which the guest panics at its first system call. So
// umlboot starts it behind a seccomp filter that fails PTRACE_GETREGSET, which
// makes it fall back on PTRACE_{GET,SET}FPREGS: x87 and SSE. The upper halves of
// the AVX registers are then not switched between threads of one process, so
// the guest's programs are told to do without AVX (see [guestEnvironment];
// AVX_Fast_Unaligned_Load is what makes the C library's memcpy use it).
package uml
