package tcpcp

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Sockets that cannot be moved.

func socket(t testing.TB, family, kind int) int {
	t.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func connected(t testing.TB, c *connection, kind int) (fd int) {
	t.Helper()
	var err error
	do(t, c.testLab.client, func() {
		fd = socket(t, unix.AF_INET6, kind)
		err = unix.Connect(fd, &unix.SockaddrInet6{Addr: serverAddr.As16(), Port: serverPort})
	})
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func unixPair(t testing.TB) int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0]
}

// loopback4 is connected over IPv4, with a socket of either family.
func loopback4(t testing.TB, family int) int {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	port := ln.Addr().(*net.TCPAddr).Port
	fd := socket(t, family, unix.SOCK_STREAM)
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
	if family == unix.AF_INET6 {
		to = &unix.SockaddrInet6{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}, Port: port}
	}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return fd
}

// loopbackMPTCP is connected to a listener that speaks MPTCP too, as Go's do
// unless told not to.
func loopbackMPTCP(t testing.TB) int {
	t.Helper()
	ln, fd := mptcpSocket(t), mptcpSocket(t)
	if err := unix.Bind(ln, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(ln, 1); err != nil {
		t.Fatal(err)
	}
	to, err := unix.Getsockname(ln)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return fd
}

func mptcpSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err == unix.EPROTONOSUPPORT || err == unix.ENOPROTOOPT {
		t.Skip("this kernel has no CONFIG_MPTCP, or net.mptcp.enabled is 0")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
