package tcpcp

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// randomBytes are the same in every run.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// deafen makes a socket neither hear nor speak, as a path that lost everything
// would; the function makes it hear again.
func deafen(t testing.TB, f *os.File) (hear func()) {
	t.Helper()
	control(t, f, func(fd int) error {
		if err := block(fd, xfrmPolicyOut); err != nil {
			return err
		}
		return block(fd, xfrmPolicyIn)
	})
	return func() {
		t.Helper()
		control(t, f, unblock)
	}
}

func control(t testing.TB, f *os.File, do func(fd int) error) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if inner != nil {
		t.Fatal(inner)
	}
}

// write gives bytes to the server's socket without waiting, and says how many
// it took.
func (c *connection) write(t testing.TB, b []byte) int {
	t.Helper()
	n, errno := put(c.fd, b)
	if errno != 0 && errno != unix.EAGAIN {
		t.Fatal(errno)
	}
	return max(n, 0)
}

// receive sends bytes from the client and waits until they lie unread at the
// server.
func (c *connection) receive(t testing.TB, b []byte) {
	t.Helper()
	if _, err := c.client.Write(b); err != nil {
		t.Fatal(err)
	}
	until(t, "bytes unread at the server", func() bool {
		n, err := ioctlInt(c.fd, unix.SIOCINQ, "SIOCINQ")
		if err != nil {
			t.Fatal(err)
		}
		return n == len(b)
	})
}

func readFull(t testing.TB, what string, f *os.File, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := io.ReadFull(f, b); err != nil {
		t.Fatalf("%s: %d of %d bytes: %v", what, got, n, err)
	}
	return b
}

// 64 KB unread, and 64 KB on their way that the client does not hear: part of
// them sent, part of them not.
func TestMoveQueues(t *testing.T) {
	for _, moves := range []int{1, 2, 5} {
		c := newLab(t).connect(t)
		wa, wb := watchHost(t, c.a), watchHost(t, c.b)
		up, down := randomBytes(64<<10), randomBytes(64<<10)
		c.receive(t, up)
		hear := deafen(t, c.client)
		if n := c.write(t, down); n != len(down) {
			t.Fatalf("the server's socket took %d of %d bytes", n, len(down))
		}
		for i := range moves {
			if i == moves-1 {
				c.beforeActivate = hear
			}
			f, e := c.move(t, c.turn(i))
			if !bytes.Equal(e.Received, up) {
				t.Errorf("%d bytes unread, not the %d that were sent", len(e.Received), len(up))
			}
			if got := append(bytes.Clone(e.Sent), e.Unsent...); !bytes.Equal(got, down) {
				t.Errorf("%d+%d bytes to send, not the %d that were written", len(e.Sent), len(e.Unsent), len(down))
			}
			if len(e.Sent) == 0 || i == 0 && len(e.Unsent) == 0 {
				t.Errorf("%d sent, %d unsent: the test wants both", len(e.Sent), len(e.Unsent))
			}
			if err := f.Forget(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(readFull(t, "at the client", c.client, len(down)), down) {
			t.Error("the client got other bytes")
		}
		s := c.server(t)
		if !bytes.Equal(readFull(t, "at the server", s, len(up)), up) {
			t.Error("the server got other bytes")
		}
		s.Close()
		c.talk(t)
		t.Logf("%d moves: %d segments at a, %d at b", moves, len(wa.segments()), len(wb.segments()))
	}
}

// The client does not read: its window is shut, and megabytes are unsent.
func TestMoveUnsentTail(t *testing.T) {
	c := newLab(t).connect(t)
	watchHost(t, c.a)
	watchHost(t, c.b)
	down := randomBytes(16 << 20)
	written := 0
	until(t, "window shut", func() bool {
		written += c.write(t, down[written:])
		i, err := getInfo(c.fd)
		if err != nil {
			t.Fatal(err)
		}
		queued, err := ioctlInt(c.fd, unix.SIOCOUTQ, "SIOCOUTQ")
		if err != nil {
			t.Fatal(err)
		}
		return i.notSent > 0 && int(i.notSent) == queued
	})
	before := optionsOf(t, c.fd)
	f, e := c.move(t, c.b)
	if len(e.Sent) != 0 || len(e.Unsent) == 0 {
		t.Errorf("%d sent, %d unsent; want all of it unsent", len(e.Sent), len(e.Unsent))
	}
	t.Logf("%d bytes unsent of %d written", len(e.Unsent), written)
	if after := optionsOf(t, c.fd); after.SendBuffer != before.SendBuffer {
		t.Errorf("the send buffer is %d, was %d", after.SendBuffer, before.SendBuffer)
	}
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	c.move(t, c.a)
	if !bytes.Equal(readFull(t, "at the client", c.client, written), down[:written]) {
		t.Error("the client got other bytes")
	}
	c.talk(t)
}

// The first segment is acknowledged in part: the queue holds more than is
// counted as unacknowledged.
func TestMovePartlyAcknowledged(t *testing.T) {
	l := newLab(t)
	l.client.Sysctl("net.ipv4.tcp_timestamps", "0")
	c := l.connect(t)
	watchHost(t, c.a)
	hear := deafen(t, c.client)
	down := randomBytes(1000)
	c.write(t, down)
	const acknowledged = 300
	c.acknowledge(t, acknowledged)
	until(t, "the acknowledgement is seen", func() bool {
		i, err := getInfo(c.fd)
		return err == nil && i.bytesAcked >= acknowledged
	})
	c.beforeActivate = hear
	_, e := c.move(t, c.b)
	if !bytes.Equal(e.Sent, down) {
		t.Errorf("%d bytes sent, want the whole segment of %d", len(e.Sent), len(down))
	}
	if !bytes.Equal(readFull(t, "at the client", c.client, len(down)), down) {
		t.Error("the client got other bytes")
	}
	c.talk(t)
}
