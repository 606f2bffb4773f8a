package uml

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Launch replaces this process by the user-mode Linux kernel, behind the filter
// that the package comment tells of. It returns only with an error.
func Launch(argv []string) error {
	// The filter belongs to the thread that becomes the new program.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("uml: launch: no_new_privs: %w", err)
	}
	filter := regsetFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(filter)
	if err != nil {
		return fmt.Errorf("uml: launch: seccomp filter (CONFIG_SECCOMP_FILTER): %w", err)
	}
	return fmt.Errorf("uml: launch %s: %w", argv[0], unix.Exec(argv[0], argv, os.Environ()))
}

// regsetFilter fails ptrace(PTRACE_GETREGSET) with EIO and allows the rest.
func regsetFilter() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K

		// offsets in struct seccomp_data
		number   = 0
		firstArg = 16
	)
	return []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_PTRACE, Jf: 3},
		{Code: load, K: firstArg},
		{Code: equal, K: unix.PTRACE_GETREGSET, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
}
