package tcpcp

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	vlab "github.com/vanycast/vanycast/tests/lab"
	"golang.org/x/sys/unix"
)

// listen opens the server's listener on a host, as a stock server would.
func listen(t testing.TB, h *vlab.Host) int {
	t.Helper()
	var fd int
	var err error
	do(t, h, func() { fd, err = listenAt(netip.AddrPortFrom(serverAddr, serverPort)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func listenAt(a netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}),
		unix.Listen(fd, 16))
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// dial connects from the client to the server's address.
func (l *testLab) dial(t testing.TB) *os.File {
	t.Helper()
	var fd int
	var err error
	do(t, l.client, func() {
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet6{Addr: serverAddr.As16(), Port: serverPort})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return pollable(t, fd)
}

// pollable hands a descriptor to Go's poller.
func pollable(t testing.TB, fd int) *os.File {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "tcp")
	if err := f.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err) // not in the poller
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// connection is one between the client and whichever host has it.
type connection struct {
	*testLab
	client *os.File
	fd     int // the server's

	beforeActivate func()  // of the next moves
	frozen         *Frozen // the donor of the last move
}

// forgetFrozen ends the donor of the last move.
func (c *connection) forgetFrozen(t testing.TB) {
	t.Helper()
	if err := c.frozen.Forget(); err != nil {
		t.Fatal(err)
	}
}

// connect makes a connection to host a.
func (l *testLab) connect(t testing.TB) *connection {
	t.Helper()
	ln := listen(t, l.a)
	c := &connection{testLab: l, client: l.dial(t)}
	var err error
	if c.fd, _, err = unix.Accept4(ln, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	})
	return c
}

// move takes the connection to another host, through the encoding. The frozen
// donor is forgotten at the end of the test.
func (c *connection) move(t testing.TB, to *vlab.Host) (*Frozen, *Endpoint) {
	t.Helper()
	f, err := Freeze(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	e := c.moveFrozen(t, f, to)
	c.frozen = f
	t.Cleanup(func() {
		if err := f.Forget(); err != nil && !errors.Is(err, ErrFinished) {
			t.Error(err)
		}
	})
	return f, e
}

func (c *connection) moveFrozen(t testing.TB, f *Frozen, to *vlab.Host) *Endpoint {
	t.Helper()
	e, err := f.Extract()
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	arrived := new(Endpoint)
	if err := arrived.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	i := insertAt(t, to, arrived)
	c.route(to)
	if c.beforeActivate != nil {
		c.beforeActivate()
	}
	if c.fd, err = i.Activate(); err != nil {
		t.Fatal(err)
	}
	return e
}

func insertAt(t testing.TB, h *vlab.Host, e *Endpoint) *Inserted {
	t.Helper()
	var i *Inserted
	var err error
	do(t, h, func() { i, err = Insert(e) })
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// server is the server's side as an application uses it: another descriptor, in
// Go's poller.
func (c *connection) server(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.Dup(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	return pollable(t, fd)
}

// talk passes a message each way.
func (c *connection) talk(t testing.TB) {
	t.Helper()
	s := c.server(t)
	pass(t, "client to server", c.client, s, "from the client")
	pass(t, "server to client", s, c.client, "from the server")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func pass(t testing.TB, what string, from, to *os.File, message string) {
	t.Helper()
	if _, err := from.WriteString(message); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	expect(t, what, to, message)
}

func expect(t testing.TB, what string, from *os.File, message string) {
	t.Helper()
	b := make([]byte, len(message))
	if _, err := io.ReadFull(from, b); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if string(b) != message {
		t.Fatalf("%s: got %.40q, want %.40q", what, b, message)
	}
}

func expectEOF(t testing.TB, what string, from *os.File) {
	t.Helper()
	b := make([]byte, 16)
	if n, err := from.Read(b); err != io.EOF {
		t.Fatalf("%s: got %q, %v; want EOF", what, b[:n], err)
	}
}
