package handoff

import (
	"errors"
	"net"
	"os"
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

// Whoever has a severed connection is told; its peer hears nothing.
func TestGuardSevers(t *testing.T) {
	k, err := NewKernel(1)
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
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	guards := make([]Guard, 2)
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for i := range guards {
		if e := raw.Control(func(fd uintptr) { guards[i], err = k.Guard(int(fd)) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
	}
	if err := guards[0].Close(); err != nil { // it is as before
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := guards[1].Sever(); err != nil {
		t.Fatal(err)
	}
	if err := guards[1].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 8)); !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("the application reads: %v", err)
	}
	if err := client.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client hears of it: %v", err)
	}
}
