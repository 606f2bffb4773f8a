package framework

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pairTCP gives a client and the descriptor of its server's end.
func pairTCP(t *testing.T) (*net.TCPConn, int) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp6", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := s.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || fd < 0 {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), fd
}

// TestCloseInOrder: whatever the application did to the socket, the client reads
// what was written and then its end, though it sent what nobody read.
func TestCloseInOrder(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(fd int)
	}{
		{"plain", func(int) {}},
		{"blocking", func(fd int) { unix.SetNonblock(fd, false) }},
		{"linger 0", func(fd int) { unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) }},
		{"half closed", func(fd int) { unix.Shutdown(fd, unix.SHUT_WR) }},
		{"corked", func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_CORK, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, fd := pairTCP(t)
			if _, err := c.Write([]byte("unread")); err != nil {
				t.Fatal(err)
			}
			tt.prepare(fd)
			want := []byte("last")
			if _, err := unix.Write(fd, want); errors.Is(err, unix.EPIPE) {
				want = nil
			}
			done := make(chan struct{})
			go func() { defer close(done); closeInOrder(fd, time.Minute, nil) }()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client reads %q, %v", got, err)
			}
			if _, err := c.Write(bytes.Repeat([]byte("more"), 1<<16)); err != nil {
				t.Errorf("client writes: %v", err)
			}
			c.Close()
			<-done
		})
	}
}

// TestCloseInOrderSlow: a client that reads slowly gets everything, though that
// takes longer than the time without progress that closing allows.
func TestCloseInOrderSlow(t *testing.T) {
	c, fd := pairTCP(t)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10)
	c.SetReadBuffer(4 << 10)
	sent := 0
	for b := make([]byte, 64<<10); ; {
		n, err := unix.Write(fd, b)
		if err != nil {
			break
		}
		sent += n
	}
	const linger = 100 * time.Millisecond
	done := make(chan struct{})
	go func() { defer close(done); closeInOrder(fd, linger, nil) }()
	got := 0
	b := make([]byte, 64<<10)
	tick := time.NewTicker(linger / 8)
	defer tick.Stop()
	for {
		n, err := c.Read(b)
		got += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		<-tick.C
	}
	if got != sent {
		t.Errorf("client got %d bytes of %d", got, sent)
	}
	c.Close()
	<-done
}

// TestCloseInOrderBounded: a client that does nothing, one that sends without
// end, and an impatient daemon: it ends.
func TestCloseInOrderBounded(t *testing.T) {
	t.Run("silent", func(t *testing.T) {
		c, fd := pairTCP(t)
		closeInOrder(fd, 10*time.Millisecond, nil)
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
			t.Errorf("client reads %q, %v", b, err)
		}
	})
	t.Run("endless", func(t *testing.T) {
		c, fd := pairTCP(t)
		stopped := make(chan error)
		go func() {
			for b := make([]byte, 1<<10); ; {
				if _, err := c.Write(b); err != nil {
					stopped <- err
					return
				}
			}
		}()
		closeInOrder(fd, 10*time.Millisecond, nil)
		if err := <-stopped; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("client writes: %v", err)
		}
	})
	t.Run("hurry", func(t *testing.T) {
		_, fd := pairTCP(t)
		hurry := make(chan struct{})
		done := make(chan struct{})
		go func() { defer close(done); closeInOrder(fd, time.Hour, hurry) }()
		close(hurry)
		<-done
	})
}
