package conformance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tests/lab"
)

// patience bounds everything that must happen in the end.
const patience = 20 * time.Second

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ping sends echo requests of size bytes of data and wants all of them answered.
func ping(t *testing.T, from *lab.Host, to netip.Addr, size int, args ...string) {
	t.Helper()
	args = append([]string{"-6", "-n", "-c", "3", "-i", "0.05", "-W", "2", "-s", strconv.Itoa(size)}, append(args, to.String())...)
	if out, err := from.Output(deadline(t), "ping", args...); err != nil {
		t.Fatalf("ping: %v\n%s", err, out)
	}
}

// noPing wants none answered.
func noPing(t *testing.T, from *lab.Host, to netip.Addr, args ...string) {
	t.Helper()
	args = append([]string{"-6", "-n", "-c", "2", "-i", "0.05", "-W", "0.3"}, append(args, to.String())...)
	if out, err := from.Output(deadline(t), "ping", args...); err == nil {
		t.Fatalf("ping from %s to %v was answered:\n%s", from.Name(), to, out)
	}
}

// listen opens a TCP listener on the host.
func listen(t *testing.T, h *lab.Host, at netip.Addr) *net.TCPListener {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		l, err = lc.Listen(t.Context(), "tcp6", netip.AddrPortFrom(at, 0).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// dialFrom connects from an address and port of a host to a listener.
func dialFrom(t *testing.T, h *lab.Host, from netip.AddrPort, to *net.TCPListener) pair {
	t.Helper()
	var c net.Conn
	err := h.Do(func() (err error) {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: patience}
		c, err = d.DialContext(t.Context(), "tcp6", to.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return pair{c.(*net.TCPConn), accept(t, to)}
}

// accept takes the next connection of a listener.
func accept(t *testing.T, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pair is a connection, both ends.
type pair struct{ near, far *net.TCPConn }

// connect makes one from an address of a host to an address of another.
func connect(t *testing.T, from *lab.Host, source netip.Addr, to *lab.Host, destination netip.Addr) pair {
	t.Helper()
	return dialFrom(t, from, netip.AddrPortFrom(source, 0), listen(t, to, destination))
}

// exchange sends size random bytes each way at the same time and compares.
func (p pair) exchange(t *testing.T, size int) {
	t.Helper()
	results := make(chan error, 2)
	go func() { results <- transfer(p.near, p.far, size) }()
	go func() { results <- transfer(p.far, p.near, size) }()
	if err := errors.Join(<-results, <-results); err != nil {
		t.Fatal(err)
	}
}

// lostNothing wants all that was sent to have arrived the first time. On a busy machine a
// segment is sent again that was merely late: its receiver says so (RFC 2883).
func (p pair) lostNothing(t *testing.T) {
	t.Helper()
	for _, c := range []*net.TCPConn{p.near, p.far} {
		must(t, lab.WaitFor(deadline(t), func() error {
			var info *unix.TCPInfo
			raw, err := c.SyscallConn()
			if err != nil {
				return err
			}
			if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil {
				return e
			}
			if err == nil && info.Total_retrans > info.Dsack_dups {
				err = fmt.Errorf("%v: %d segments were sent again, and %d of them had arrived", c.LocalAddr(), info.Total_retrans, info.Dsack_dups)
			}
			return err
		}))
	}
}

// end closes both ends in an orderly way, so that no reset is sent.
func (p pair) end(t *testing.T) {
	t.Helper()
	for _, step := range []func() error{p.near.CloseWrite, p.far.CloseWrite, eof(p.near), eof(p.far), p.near.Close, p.far.Close} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func eof(c net.Conn) func() error {
	return func() error {
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %d bytes and %v where the end should be", n, err)
		}
		return nil
	}
}

// transfer sends size random bytes from one end to the other within patience.
func transfer(from, to net.Conn, size int) error {
	end := time.Now().Add(patience)
	if err := errors.Join(from.SetWriteDeadline(end), to.SetReadDeadline(end)); err != nil {
		return err
	}
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(size)})
	if _, err := random.Read(data); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- err
	}()
	hash := sha256.New()
	n, err := io.CopyN(hash, to, int64(size))
	if err := errors.Join(err, <-sent); err != nil {
		return fmt.Errorf("%v to %v: %d of %d bytes: %w", from.LocalAddr(), to.LocalAddr(), n, size, err)
	}
	if got, want := [32]byte(hash.Sum(nil)), sha256.Sum256(data); got != want {
		return fmt.Errorf("%v to %v: %d bytes arrived changed", from.LocalAddr(), to.LocalAddr(), size)
	}
	return nil
}

func some(n int) bool { return n > 0 }
func none(n int) bool { return n == 0 }

// write sends a text.
func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// read wants exactly this text to arrive in the end.
func read(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("read %q and %v, want %q", b[:n], err, text)
	}
}
