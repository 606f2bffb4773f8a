package tcpcp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never sleep, and a move makes some fifty of them: they go
// past the scheduler (RawSyscall), which halves their cost in Go. Calls that
// copy queues or may load a module use Syscall.

// sockopt names a socket option for calls and for errors.
type sockopt struct {
	level, name int
	text        string
}

func (o sockopt) getErr(e syscall.Errno) error { return &callError{"getsockopt " + o.text, e} }
func (o sockopt) setErr(e syscall.Errno) error { return &callError{"setsockopt " + o.text, e} }

// get reads an int option.
func (o sockopt) get(fd int) (int, error) {
	var v int32
	n := uint32(unsafe.Sizeof(v))
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0, o.getErr(e)
	}
	return int(v), nil
}

// getBool reads a flag.
func (o sockopt) getBool(fd int) (bool, error) {
	v, err := o.get(fd)
	return v != 0, err
}

// set writes an int option.
func (o sockopt) set(fd, value int) error {
	v := int32(value)
	_, _, e := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
	if e != 0 {
		return o.setErr(e)
	}
	return nil
}

// getBytes reads an option into b and returns how many bytes the kernel wrote.
func (o sockopt) getBytes(fd int, b []byte) (int, error) {
	n := uint32(len(b))
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0, o.getErr(e)
	}
	return int(n), nil
}

// setBytes writes an option; an empty b is a null pointer, which some options
// take as "none".
func (o sockopt) setBytes(fd int, b []byte) error {
	_, _, e := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0)
	if e != 0 {
		return o.setErr(e)
	}
	return nil
}

// setName writes a string option that may make the kernel load a module.
func (o sockopt) setName(fd int, name string) error {
	_, _, e := syscall.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
		uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(len(name)), 0)
	if e != 0 {
		return o.setErr(e)
	}
	return nil
}

// ioctlInt reads an int through ioctl.
func ioctlInt(fd int, request uint, text string) (int, error) {
	var v int32
	_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&v)))
	if e != 0 {
		return 0, &callError{"ioctl " + text, e}
	}
	return int(v), nil
}

func closeFD(fd int) error {
	if _, _, e := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); e != 0 {
		return &callError{"close", e}
	}
	return nil
}
