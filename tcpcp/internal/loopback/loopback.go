// Package loopback makes connections of ::1 with itself, in whatever network
// namespace the calling thread is in: something to move for tests and benchmarks.
package loopback

import "golang.org/x/sys/unix"

// Up makes ::1 usable in a new network namespace.
func Up() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// Connect makes a connection; the server's end does not block. Both are the
// caller's to close.
func Connect() (client, server int, err error) {
	ln, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	defer unix.Close(ln)
	if err := unix.Bind(ln, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err != nil {
		return -1, -1, err
	}
	if err := unix.Listen(ln, 1); err != nil {
		return -1, -1, err
	}
	to, err := unix.Getsockname(ln)
	if err != nil {
		return -1, -1, err
	}
	if client, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, -1, err
	}
	if err = unix.Connect(client, to); err == nil {
		server, _, err = unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
	if err != nil {
		unix.Close(client)
		return -1, -1, err
	}
	return client, server, nil
}
