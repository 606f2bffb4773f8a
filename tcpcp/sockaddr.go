package tcpcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddrOf is the kernel's form of an address without a scope.
func sockaddrOf(a netip.AddrPort) unix.RawSockaddrInet6 {
	sa := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], a.Port())
	return sa
}

// sockname calls getsockname or getpeername.
func sockname(fd int, trap uintptr, call string) (netip.AddrPort, error) {
	var sa unix.RawSockaddrInet6
	n := uint32(unix.SizeofSockaddrInet6)
	_, _, e := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n)))
	if e != 0 {
		return netip.AddrPort{}, &callError{call, e}
	}
	if sa.Family != unix.AF_INET6 || n < unix.SizeofSockaddrInet6 {
		return netip.AddrPort{}, fmt.Errorf("%w: %s gives address family %d", ErrUnsupported, call, sa.Family)
	}
	addr := netip.AddrFrom16(sa.Addr)
	if sa.Scope_id != 0 {
		addr = addr.WithZone(strconv.Itoa(int(sa.Scope_id)))
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])), nil
}

// tupleOf is the connection of a socket. A socket that is not connected is
// ErrState, one that is not IPv6 ErrUnsupported.
func tupleOf(fd int) (FourTuple, error) {
	remote, err := sockname(fd, unix.SYS_GETPEERNAME, "getpeername")
	if err != nil {
		if isErrno(err, unix.ENOTCONN) {
			return FourTuple{}, &Error{Op: "freeze", Call: "getpeername", Kind: ErrState, Err: unix.ENOTCONN}
		}
		return FourTuple{}, err
	}
	local, err := sockname(fd, unix.SYS_GETSOCKNAME, "getsockname")
	if err != nil {
		return FourTuple{}, err
	}
	t := FourTuple{Local: local, Remote: remote}
	for _, a := range []struct {
		which string
		addr  netip.AddrPort
	}{{"local", local}, {"remote", remote}} {
		if err := validAddr(a.which, a.addr); err != nil {
			return t, fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
	}
	return t, nil
}

func bindTo(fd int, a netip.AddrPort) error {
	sa := sockaddrOf(a)
	_, _, e := syscall.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet6)
	if e != 0 {
		return &callError{"bind", e}
	}
	return nil
}

// connectTo does not wait: in repair mode connect sends nothing.
func connectTo(fd int, a netip.AddrPort) error {
	sa := sockaddrOf(a)
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet6)
	if e != 0 {
		return &callError{"connect", e}
	}
	return nil
}

// disconnect ends the connection of a socket, whoever else has it open; in
// repair mode silently.
func disconnect(fd int) error {
	sa := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet6)
	if e != 0 {
		return &callError{"connect AF_UNSPEC", e}
	}
	return nil
}
