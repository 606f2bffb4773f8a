package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenPending listens on the loopback address and accepts nothing.
func listenPending(t *testing.T, deferred bool) *net.TCPListener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if !deferred {
			return nil
		}
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30)
		})
		return errors.Join(cerr, err)
	}}
	l, err := lc.Listen(context.Background(), "tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on the loopback interface (CONFIG_IPV6): %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// The kernel tells of a connection that waits to be accepted, and of one whose handshake
// is not over, and not of one that somebody has.
func TestPending(t *testing.T) {
	for name, deferred := range map[string]bool{"queued": false, "half-open": true} {
		t.Run(name, func(t *testing.T) {
			l := listenPending(t, deferred)
			c, err := net.Dial("tcp6", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			self := c.LocalAddr().(*net.TCPAddr).AddrPort()
			find := func() bool {
				t.Helper()
				all, err := pending(netip.IPv6Loopback(), netip.IPv6Loopback())
				if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) {
					t.Skipf("the kernel does not tell (CONFIG_INET_DIAG, CONFIG_INET_TCP_DIAG): %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range all {
					if f.Client == self && f.Contact.Port() == uint16(l.Addr().(*net.TCPAddr).Port) {
						return true
					}
				}
				return false
			}
			if !find() {
				t.Error("not found")
			}
			if all, err := pending(netip.IPv6Loopback(), netip.MustParseAddr("2001:db8::1")); err != nil || len(all) != 0 {
				t.Errorf("of another client: %v, %v", all, err)
			}
			if _, err := c.Write([]byte("x")); err != nil { // what a deferred one waits for
				t.Fatal(err)
			}
			l.SetDeadline(time.Now().Add(20 * time.Second))
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if find() {
				t.Error("found though it was accepted")
			}
		})
	}
}

func FuzzPending(f *testing.F) {
	one := netip.IPv6Loopback()
	f.Add(pendingRequest(one, one))
	f.Add(bytes.Repeat([]byte{20, 0, 0, 0}, 22))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _, _ := parsePending(b, one, one)
		for _, c := range all {
			if c.Contact.Addr() != one || c.Client.Addr() != one {
				t.Errorf("of somebody else: %v", c)
			}
		}
	})
}
