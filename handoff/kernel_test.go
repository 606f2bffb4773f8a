package handoff

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A client whose connection was moved away, and is over, connects again from the
// same port: what is buried here gets out of its way.
func TestBuriedConnectionMakesRoom(t *testing.T) {
	k, err := NewKernel(10)
	if err != nil {
		t.Fatal(err)
	}
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), "tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp6", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	// The handoff has a descriptor of its own.
	file, err := server.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	server.Close()
	f, err := k.Freeze(fd, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Bury(f, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	port := client.LocalAddr()
	if err := client.(*net.TCPConn).SetLinger(0); err != nil { // no TIME_WAIT
		t.Fatal(err)
	}
	client.Close()
	again := net.Dialer{LocalAddr: port, Timeout: 20 * time.Second}
	client, err = again.Dial("tcp6", ln.Addr().String())
	if err != nil {
		t.Fatalf("the port cannot be used again: %v", err)
	}
	client.Close()

	if next, err := k.Expire(time.Now()); err != nil || !next.IsZero() {
		t.Errorf("something is still buried, until %v: %v", next, err)
	}
	if n := len(k.openings.watches); n != 0 {
		t.Errorf("%d watches for nothing", n)
	}
}
