package tcpcp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A client says something and no more, and the connection is frozen before that is
// acknowledged, be it read or not. It is then: else the client, which is not asked
// anything by the acceptor that it would listen to, would say it again.
func TestFreezeAcknowledges(t *testing.T) {
	t.Parallel()
	for _, read := range []bool{false, true} {
		t.Run(map[bool]string{false: "unread", true: "read"}[read], func(t *testing.T) {
			l := newLab(t)
			l.client.Sysctl("net.ipv4.tcp_early_retrans", "0")
			l.client.IP("-6", "route", "replace", serverAddr.String(), "via", "2001:db8:1::2", "src", clientAddr.String(), "rto_min", "60s")
			c := l.connect(t)
			c.talk(t)
			f := c.freezeUnacknowledged(t, "said at the last moment", read)
			defer f.Thaw()
			until(t, "the client has its acknowledgement", func() bool { return unacknowledged(t, c) == 0 })
			e, err := f.Extract()
			if err != nil {
				t.Fatal(err)
			}
			if e.Window.ReceiveWUP != e.ReceiveNext {
				t.Errorf("acknowledged up to %d, received up to %d", e.Window.ReceiveWUP, e.ReceiveNext)
			}
		})
	}
}

// freezeUnacknowledged freezes the connection while the client's message is received
// and its acknowledgement delayed; that is not for long, so it may take some tries.
func (c *connection) freezeUnacknowledged(t *testing.T, message string, read bool) *Frozen {
	t.Helper()
	s := c.server(t)
	for range 100 {
		control(t, s, func(fd int) error { return optQuickAck.set(fd, 0) })
		if _, err := c.client.WriteString(message); err != nil {
			t.Fatal(err)
		}
		until(t, "it is received", func() bool {
			n, err := ioctlInt(c.fd, unix.SIOCINQ, "SIOCINQ")
			return err == nil && n == len(message)
		})
		if read {
			expect(t, "at the server", s, message)
		}
		if unacknowledged(t, c) > 0 {
			f, err := Freeze(c.fd)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		if !read {
			expect(t, "at the server", s, message)
		}
	}
	t.Fatal("it is always acknowledged at once")
	return nil
}

// unacknowledged is how many bytes the client has sent and not heard of.
func unacknowledged(t *testing.T, c *connection) (n int) {
	t.Helper()
	control(t, c.client, func(fd int) (err error) {
		n, err = ioctlInt(fd, unix.SIOCOUTQ, "SIOCOUTQ")
		return err
	})
	return n
}

// What cannot be acknowledged here leaves the window as it was: the acceptor has it to
// know what was promised.
func TestNothingToAcknowledge(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	c.talk(t)
	shutdown(t, c.fd, unix.SHUT_WR)
	expectEOF(t, "the client", c.client)
	f := c.freezeUnacknowledged(t, "said to who speaks no more", false)
	defer f.Thaw()
	w, err := getWindow(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	next, err := seqOf(c.fd, recvQueue)
	if err != nil {
		t.Fatal(err)
	}
	if behind := next - w.ReceiveWUP; behind >= overdue {
		t.Errorf("the window is said to begin %d bytes back", behind)
	}
}
