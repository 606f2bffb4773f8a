package tcpcp

import (
	"bytes"
	"os"
	"testing"

	vlab "github.com/vanycast/vanycast/tests/lab"
	"golang.org/x/sys/unix"
)

func shutdown(t testing.TB, fd, how int) {
	t.Helper()
	if err := unix.Shutdown(fd, how); err != nil {
		t.Fatal(err)
	}
}

func (c *connection) waitState(t testing.TB, want State) {
	t.Helper()
	until(t, "the server's socket is in "+want.String(), func() bool {
		i, err := getInfo(c.fd)
		if err != nil {
			t.Fatal(err)
		}
		return i.state == want
	})
}

// clientShut ends the client's sending.
func (c *connection) clientShut(t testing.TB) {
	t.Helper()
	control(t, c.client, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// turn is where the i-th move goes.
func (l *testLab) turn(i int) *vlab.Host {
	if i%2 == 0 {
		return l.b
	}
	return l.a
}

// moves takes the connection to b, and from there back to a, to show that what
// was half closed stays so when the kernel calls it ESTABLISHED.
func (c *connection) moves(t *testing.T, n int) (first *Endpoint) {
	t.Helper()
	for i := range n {
		f, e := c.move(t, c.turn(i))
		if err := f.Forget(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = e
		}
	}
	return first
}

// bye closes the server's side and sees that the client notices in peace.
func (c *connection) bye(t testing.TB, s *os.File) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(c.fd); err != nil {
		t.Fatal(err)
	}
	c.fd = -1
	expectEOF(t, "the client after the server closed", c.client)
}

func eachNumberOfMoves(t *testing.T, f func(t *testing.T, c *connection, moves int)) {
	for _, n := range []struct {
		name  string
		moves int
	}{{"once", 1}, {"and back", 2}, {"thrice", 3}} {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			c := newLab(t).connect(t)
			watchHost(t, c.a)
			watchHost(t, c.b)
			f(t, c, n.moves)
		})
	}
}

// The client has sent its FIN; bytes before it are unread.
func TestMoveCloseWait(t *testing.T) {
	eachNumberOfMoves(t, func(t *testing.T, c *connection, moves int) {
		up, down := randomBytes(10000), randomBytes(20000)
		c.receive(t, up)
		c.clientShut(t)
		c.waitState(t, CloseWait)
		e := c.moves(t, moves)
		if e.State != CloseWait || !e.ReadShut || !bytes.Equal(e.Received, up) {
			t.Errorf("extracted %v, read shut %v, %d bytes unread", e.State, e.ReadShut, len(e.Received))
		}
		s := c.server(t)
		if !bytes.Equal(readFull(t, "at the server", s, len(up)), up) {
			t.Error("the server got other bytes")
		}
		expectEOF(t, "the server after the client's FIN", s)
		if _, err := s.Write(down); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readFull(t, "at the client", c.client, len(down)), down) {
			t.Error("the client got other bytes")
		}
		c.bye(t, s)
	})
}

// The same with nothing unread: an empty queue has an end as well.
func TestMoveCloseWaitEmpty(t *testing.T) {
	eachNumberOfMoves(t, func(t *testing.T, c *connection, moves int) {
		c.talk(t)
		c.clientShut(t)
		c.waitState(t, CloseWait)
		c.moves(t, moves)
		s := c.server(t)
		expectEOF(t, "the server after the client's FIN", s)
		pass(t, "server to client", s, c.client, "one last word")
		c.bye(t, s)
	})
}

// The server has shut its sending side, and the client has not acknowledged
// that, nor the bytes before.
func TestMoveFinWait1(t *testing.T) {
	eachNumberOfMoves(t, func(t *testing.T, c *connection, moves int) {
		down := randomBytes(5000)
		hear := deafen(t, c.client)
		c.write(t, down)
		shutdown(t, c.fd, unix.SHUT_WR)
		c.waitState(t, FinWait1)
		c.moves(t, moves-1)
		c.waitState(t, FinWait1)
		c.beforeActivate = hear
		f, e := c.move(t, c.turn(moves-1))
		if e.State != FinWait1 || !bytes.Equal(e.Sent, down) || len(e.Unsent) != 0 {
			t.Errorf("extracted %v, %d sent, %d unsent", e.State, len(e.Sent), len(e.Unsent))
		}
		if err := f.Forget(); err != nil {
			t.Fatal(err)
		}
		c.serverEnded(t, down)
	})
}

// The client's window is shut: the server's bytes and its FIN are unsent.
func TestMoveFinWait1Unsent(t *testing.T) {
	eachNumberOfMoves(t, func(t *testing.T, c *connection, moves int) {
		down := randomBytes(4 << 20)
		written := 0
		until(t, "window shut", func() bool {
			written += c.write(t, down[written:])
			i, err := getInfo(c.fd)
			queued, err2 := ioctlInt(c.fd, unix.SIOCOUTQ, "SIOCOUTQ")
			// It asks whether there is room: it does not only pace itself.
			return err == nil && err2 == nil && i.notSent > 0 && int(i.notSent) == queued && probes(t, c.fd) > 0
		})
		shutdown(t, c.fd, unix.SHUT_WR)
		e := c.moves(t, moves)
		if e.State != FinWait1 || len(e.Sent) != 0 || len(e.Unsent) == 0 {
			t.Errorf("extracted %v, %d sent, %d unsent", e.State, len(e.Sent), len(e.Unsent))
		}
		c.serverEnded(t, down[:written])
	})
}

// The client has acknowledged the server's FIN, and goes on sending.
func TestMoveFinWait2(t *testing.T) {
	eachNumberOfMoves(t, func(t *testing.T, c *connection, moves int) {
		down := randomBytes(5000)
		c.write(t, down)
		shutdown(t, c.fd, unix.SHUT_WR)
		c.waitState(t, FinWait2)
		up := randomBytes(3000)
		c.receive(t, up)
		e := c.moves(t, moves)
		if e.State != FinWait2 || len(e.Sent)+len(e.Unsent) != 0 || !bytes.Equal(e.Received, up) {
			t.Errorf("extracted %v, %d sent, %d unsent, %d unread", e.State, len(e.Sent), len(e.Unsent), len(e.Received))
		}
		c.waitState(t, FinWait2) // the client acknowledged the FIN again
		s := c.server(t)
		if !bytes.Equal(readFull(t, "at the server", s, len(up)), up) {
			t.Error("the server got other bytes")
		}
		s.Close()
		c.serverEnded(t, down)
	})
}

// Both have sent a FIN, the server's is not acknowledged: over, but for one
// segment. (The kernel's LAST_ACK is refused; this is a connection that was
// moved in CLOSE_WAIT and shut then.)
func TestMoveBothShut(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	watchHost(t, c.a)
	watchHost(t, c.b)
	c.clientShut(t)
	c.waitState(t, CloseWait)
	c.moves(t, 1)
	hear := deafen(t, c.client)
	c.write(t, []byte("the end"))
	shutdown(t, c.fd, unix.SHUT_WR)
	c.beforeActivate = hear
	_, e := c.move(t, c.a)
	if e.State != FinWait1 || !e.ReadShut {
		t.Errorf("extracted %v, read shut %v", e.State, e.ReadShut)
	}
	expect(t, "at the client", c.client, "the end")
	expectEOF(t, "the client", c.client)
	c.waitState(t, FinWait2)
}

// serverEnded reads what the server sent before its FIN, and has the client
// answer and end.
func (c *connection) serverEnded(t testing.TB, down []byte) {
	t.Helper()
	if !bytes.Equal(readFull(t, "at the client", c.client, len(down)), down) {
		t.Error("the client got other bytes")
	}
	expectEOF(t, "the client after the server's FIN", c.client)
	s := c.server(t)
	pass(t, "client to server", c.client, s, "thank you")
	c.clientShut(t)
	expectEOF(t, "the server after the client's FIN", s)
	c.waitState(t, Closed) // TIME_WAIT is no longer the socket's
}
