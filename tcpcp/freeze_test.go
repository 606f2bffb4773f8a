package tcpcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
)

func freeze(t testing.TB, c *connection) *Frozen {
	t.Helper()
	f, err := Freeze(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A frozen connection does not answer, and goes on after thawing as if nothing
// had been: no byte of either queue is lost, and no option changed.
func TestThawContinues(t *testing.T) {
	for _, test := range []struct {
		name    string
		extract int
	}{{"frozen only", 0}, {"extracted", 1}, {"extracted twice", 2}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newLab(t).connect(t)
			w := watchHost(t, c.a)
			setAll(t, c.fd, []setting{{optKeepAlive, true, 1}, {optUserTimeout, true, 60000}})
			before := optionsOf(t, c.fd)
			up, late, down := randomBytes(20000), []byte("said while it was frozen"), randomBytes(30000)
			c.receive(t, up)
			hear := deafen(t, c.client)
			c.write(t, down)
			f := freeze(t, c)
			hear()
			w.silent(t, "frozen", func() {
				arrivals := w.count(arrived)
				if _, err := c.client.Write(late); err != nil {
					t.Fatal(err)
				}
				for range test.extract {
					e, err := f.Extract()
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(e.Received, up) || !bytes.Equal(append(bytes.Clone(e.Sent), e.Unsent...), down) {
						t.Errorf("extracted other bytes: %d, %d+%d", len(e.Received), len(e.Sent), len(e.Unsent))
					}
				}
				// The client's segment, and its retransmission.
				until(t, "the client sends", func() bool { return w.count(arrived) >= arrivals+2 })
			})
			if err := f.Thaw(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, optionsOf(t, c.fd)); diff != "" {
				t.Errorf("options after thawing (-before +after):\n%s", diff)
			}
			if !bytes.Equal(readFull(t, "at the client", c.client, len(down)), down) {
				t.Error("the client got other bytes")
			}
			s := c.server(t)
			if !bytes.Equal(readFull(t, "at the server", s, len(up)), up) {
				t.Error("the server got other bytes")
			}
			expect(t, "what was sent while frozen", s, string(late))
			c.talk(t)
			for _, step := range []func() error{f.Thaw, f.Forget, func() error { _, err := f.Extract(); return err }} {
				if err := step(); !errors.Is(err, ErrFinished) {
					t.Errorf("a step after Thaw: %v, want ErrFinished", err)
				}
			}
		})
	}
}

// lastReceived is how long ago the socket last heard data, in milliseconds.
func lastReceived(t testing.TB, fd int) (ms uint32, backoff byte) {
	t.Helper()
	var b [sizeofInfo]byte
	if _, err := optInfo.getBytes(fd, b[:]); err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint32(b[52:]), b[4]
}

// probes is how often the socket has asked in vain for a window.
func probes(t testing.TB, fd int) byte {
	t.Helper()
	var b [sizeofInfo]byte
	if _, err := optInfo.getBytes(fd, b[:]); err != nil {
		t.Fatal(err)
	}
	return b[3]
}

// Retransmission, keepalive and user timeouts that are all over while it is
// frozen: it says nothing, lives, and has its options afterwards.
func TestFreezeOutlivesTimers(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	w := watchHost(t, c.a)
	c.talk(t)
	setAll(t, c.fd, []setting{
		{optKeepIdle, true, 1}, {optKeepInterval, true, 1}, {optKeepCount, true, 1}, {optKeepAlive, true, 1},
		{optUserTimeout, true, 300},
	})
	before := optionsOf(t, c.fd)
	hear := deafen(t, c.client)
	c.write(t, []byte("unacknowledged"))
	f := freeze(t, c)
	w.silent(t, "frozen", func() {
		until(t, "the timers", func() bool {
			ms, backoff := lastReceived(t, c.fd)
			return ms > 2500 && backoff >= 2
		})
	})
	if i, err := getInfo(c.fd); err != nil || i.state != Established {
		t.Fatalf("state %v, %v", i.state, err)
	}
	hear()
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	expect(t, "at the client", c.client, "unacknowledged")
	if diff := cmp.Diff(before, optionsOf(t, c.fd)); diff != "" {
		t.Errorf("options after thawing (-before +after):\n%s", diff)
	}
	c.talk(t)
}

// What still comes to the donor after the move is swallowed as long as the frozen
// socket is kept, although a listener is there that would answer with a reset.
func TestLateSegmentsAreSwallowed(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	w := watchHost(t, c.a)
	watchHost(t, c.b)
	f := freeze(t, c)
	w.silent(t, "the donor", func() {
		c.moveFrozen(t, f, c.b)
		arrivals := w.count(arrived)
		c.route(c.a) // the network has not heard of the move
		if _, err := c.client.WriteString("too late"); err != nil {
			t.Fatal(err)
		}
		until(t, "late segments", func() bool { return w.count(arrived) >= arrivals+2 })
	})
	c.route(c.b)
	s := c.server(t)
	expect(t, "sent again to the acceptor", s, "too late")
	w.silent(t, "forgetting", func() {
		if err := f.Forget(); err != nil {
			t.Fatal(err)
		}
	})
	c.talk(t)
	if err := f.Forget(); !errors.Is(err, ErrFinished) {
		t.Errorf("a second Forget: %v", err)
	}
}

// The application keeps a duplicate: after Forget that is an aborted connection,
// and closing it sends nothing.
func TestForgetWithDuplicate(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	w := watchHost(t, c.a)
	watchHost(t, c.b)
	application := c.server(t)
	f, _ := c.move(t, c.b)
	w.silent(t, "forgetting", func() {
		if err := f.Forget(); err != nil {
			t.Fatal(err)
		}
		if _, err := application.WriteString("into the void"); err == nil {
			t.Error("writing to a forgotten connection succeeds")
		}
		if err := application.Close(); err != nil {
			t.Fatal(err)
		}
	})
	c.talk(t)
	c.move(t, c.a) // the four-tuple is free
	c.talk(t)
}

// Freeze does nothing to what it refuses.
func TestFreezeRefuses(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	listener := func(t *testing.T) int {
		// connect made it: the client can still come in.
		return listen(t, c.b)
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T) int
		want error
	}{
		{"listener", listener, ErrState},
		{"unconnected", func(t *testing.T) int { return socket(t, unix.AF_INET6, unix.SOCK_STREAM) }, ErrState},
		{"UDP", func(t *testing.T) int { return connected(t, c, unix.SOCK_DGRAM) }, ErrUnsupported},
		{"UNIX", func(t *testing.T) int { return unixPair(t) }, ErrUnsupported},
		{"IPv4", func(t *testing.T) int { return loopback4(t, unix.AF_INET) }, ErrUnsupported},
		{"IPv4-mapped", func(t *testing.T) int { return loopback4(t, unix.AF_INET6) }, ErrUnsupported},
		{"MPTCP", func(t *testing.T) int { return loopbackMPTCP(t) }, ErrUnsupported},
		{"no socket", func(t *testing.T) int { return -1 }, unix.EBADF},
	} {
		t.Run(test.name, func(t *testing.T) {
			fd := test.make(t)
			f, err := Freeze(fd)
			if f != nil || !errors.Is(err, test.want) {
				t.Fatalf("Freeze: %v, %v; want %v", f, err, test.want)
			}
			t.Log(err)
			var e *Error
			if !errors.As(err, &e) || e.Op != "freeze" {
				t.Errorf("not an *Error of freeze: %#v", err)
			}
		})
	}
}

// Kernel TLS keeps keys and record numbers where TCP_REPAIR does not see them.
func TestFreezeRefusesULP(t *testing.T) {
	client, server, err := loopback.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	defer unix.Close(server)
	if err := optULP.setName(server, "tls"); isErrno(err, unix.ENOENT) {
		t.Skip("this kernel has no CONFIG_TLS")
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := Freeze(server); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Freeze: %v, want ErrUnsupported", err)
	}
}

// States that a live socket may have come to, and that cannot be moved: Extract
// says so, and Thaw leaves the connection to end as it was going to.
func TestExtractRefusesState(t *testing.T) {
	for _, test := range []struct {
		name  string
		state State
		make  func(t *testing.T, c *connection)
	}{
		{"LAST_ACK", LastAck, func(t *testing.T, c *connection) {
			c.clientShut(t)
			c.waitState(t, CloseWait)
			hear := deafen(t, c.client)
			t.Cleanup(hear)
			shutdown(t, c.fd, unix.SHUT_WR)
		}},
		{"CLOSING", Closing, func(t *testing.T, c *connection) {
			// Both close at once: the server does not hear that its FIN is
			// acknowledged.
			hear := deafen(t, c.client)
			shutdown(t, c.fd, unix.SHUT_WR)
			c.finish(t)
			c.waitState(t, Closing)
			t.Cleanup(hear)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.client.Sysctl("net.ipv4.tcp_timestamps", "0") // for crafted segments
			c := l.connect(t)
			watchHost(t, c.a)
			test.make(t, c)
			f := freeze(t, c)
			e, err := f.Extract()
			if e != nil || !errors.Is(err, ErrState) {
				t.Errorf("Extract: %v, %v; want ErrState", e, err)
			}
			t.Log(err)
			if err := f.Thaw(); err != nil {
				t.Error(err)
			}
			if i, err := getInfo(c.fd); err != nil || i.state != test.state {
				t.Errorf("thawed to %v, %v", i.state, err)
			}
		})
	}
}

// The client is gone, with bytes unread: not to be moved, but to be read.
func TestFreezeClosed(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	c.receive(t, []byte("last words"))
	control(t, c.client, func(fd int) error { return setLinger(fd, 0) })
	c.client.Close() // resets
	c.waitState(t, Closed)
	if _, err := Freeze(c.fd); !errors.Is(err, ErrState) {
		t.Errorf("Freeze: %v, want ErrState", err)
	}
}

// Urgent data is not carried: refused until it is read.
func TestExtractRefusesUrgent(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	control(t, c.client, func(fd int) error { return unix.Sendto(fd, []byte("before!"), unix.MSG_OOB, nil) })
	control(t, c.client, func(fd int) error { return unix.Sendto(fd, []byte("after"), 0, nil) })
	unread := func(want int) func() bool {
		return func() bool {
			i, err := getInfo(c.fd)
			return err == nil && i.bytesReceived >= uint64(want)
		}
	}
	until(t, "urgent data", unread(len("before!after")))
	refused := func(what string) {
		t.Helper()
		f := freeze(t, c)
		if _, err := f.Extract(); !errors.Is(err, ErrUrgent) {
			t.Errorf("%s: %v, want ErrUrgent", what, err)
		}
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	refused("mark ahead")
	s := c.server(t)
	expect(t, "before the mark", s, "before")
	refused("at the mark")
	var b [1]byte
	if n, _, err := unix.Recvfrom(c.fd, b[:], unix.MSG_OOB); err != nil || n != 1 || b[0] != '!' {
		t.Fatalf("urgent byte: %q, %v", b[:n], err)
	}
	refused("the urgent byte is read, the mark not passed")
	expect(t, "after the mark", s, "a")
	c.move(t, c.b)
	expect(t, "after the move", c.server(t), "fter")
	c.talk(t)
}
