package tcpcp

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	vlab "github.com/vanycast/vanycast/tests/lab"
	"golang.org/x/sys/unix"
)

// frozenEndpoint is a connection at a that is frozen and extracted.
func frozenEndpoint(t testing.TB, c *connection) (*Frozen, *Endpoint) {
	t.Helper()
	f := freeze(t, c)
	e, err := f.Extract()
	if err != nil {
		t.Fatal(err)
	}
	return f, e
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// insertFails tries to insert on a host, and sees that nothing is left of it.
// It must not run beside tests that open files.
func insertFails(t *testing.T, h *vlab.Host, e *Endpoint, want error) {
	t.Helper()
	var err error
	var i *Inserted
	var before, after int
	do(t, h, func() {
		before = openFiles(t)
		i, err = Insert(e)
		after = openFiles(t)
	})
	if i != nil || !errors.Is(err, want) {
		t.Fatalf("Insert: %v, %v; want %v", i, err, want)
	}
	if before != after {
		t.Errorf("%d open files, were %d", after, before)
	}
	t.Log(err)
}

func TestInsertExists(t *testing.T) {
	c := newLab(t).connect(t)
	w := watchHost(t, c.a)
	f, e := frozenEndpoint(t, c)
	w.silent(t, "refusing", func() { insertFails(t, c.a, e, ErrExists) })

	// Also while it lies in the graveyard; released, it is no obstacle.
	g := NewGraveyard(1)
	if err := g.Bury(f, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	insertFails(t, c.a, e, ErrExists)
	w.silent(t, "releasing and inserting", func() {
		if err := g.Release(e.Tuple()); err != nil {
			t.Fatal(err)
		}
		i := insertAt(t, c.a, e)
		c.fd = i.fd
		if err := i.Abort(); err != nil {
			t.Fatal(err)
		}
		if err := i.Abort(); !errors.Is(err, ErrFinished) {
			t.Errorf("a second Abort: %v", err)
		}
		if _, err := i.Activate(); !errors.Is(err, ErrFinished) {
			t.Errorf("Activate after Abort: %v", err)
		}
	})
	i := insertAt(t, c.a, e)
	var err error
	if c.fd, err = i.Activate(); err != nil {
		t.Fatal(err)
	}
	if err := i.Abort(); !errors.Is(err, ErrFinished) {
		t.Errorf("Abort after Activate: %v", err)
	}
	c.talk(t)
}

func TestInsertNoRoute(t *testing.T) {
	c := newLab(t).connect(t)
	f, e := frozenEndpoint(t, c)
	c.b.IP("-6", "route", "del", clientAddr.String())
	insertFails(t, c.b, e, ErrNoRoute)
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	c.talk(t)
}

// Endpoints that no kernel can have; the kernel is not even asked.
func TestInsertRefusesNonsense(t *testing.T) {
	l := newLab(t)
	for _, test := range badEndpoints() {
		t.Run(test.name, func(t *testing.T) { insertFails(t, l.b, test.endpoint(), test.want) })
	}
}

// The contact address may come to the acceptor only later.
func TestInsertBeforeAddress(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	watchHost(t, c.b)
	c.b.IP("-6", "addr", "del", serverAddr.String()+"/128", "dev", "lo")
	c.beforeActivate = func() { c.b.Addr("lo", netip.PrefixFrom(serverAddr, 128)) }
	c.move(t, c.b)
	c.talk(t)
}

// An inserted connection that waits says nothing, also when it is spoken to, and
// an aborted one neither.
func TestInsertedIsSilent(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	w := watchHost(t, c.b)
	c.write(t, []byte("unread"))
	expect(t, "at the client", c.client, "unread")
	hear := deafen(t, c.client)
	c.write(t, randomBytes(20000))
	f, e := frozenEndpoint(t, c)
	hear()
	w.silent(t, "inserted and aborted", func() {
		i := insertAt(t, c.b, e)
		c.route(c.b)
		arrivals := w.count(arrived)
		if _, err := c.client.WriteString("early"); err != nil {
			t.Fatal(err)
		}
		// The client's segment and its retransmission come; our own
		// retransmission timer runs out.
		until(t, "early segments", func() bool { return w.count(arrived) >= arrivals+2 })
		until(t, "retransmission timeout", func() bool { _, backoff := lastReceived(t, i.fd); return backoff >= 1 })
		c.route(c.a)
		if err := i.Abort(); err != nil {
			t.Fatal(err)
		}
	})
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	readFull(t, "what the server had sent", c.client, 20000)
	expect(t, "what came early", c.server(t), "early")
	c.talk(t)
}

// A listener is no obstacle to inserting, and the inserted connection none to a
// listener: a server can be restarted.
func TestListenerBesideInserted(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	var ln int
	var err error
	do(t, c.b, func() { ln, err = listenAt(netip.AddrPortFrom(serverAddr, serverPort)) })
	if err != nil {
		t.Fatal(err)
	}
	c.move(t, c.b)
	if err := unix.Close(ln); err != nil {
		t.Fatal(err)
	}
	listen(t, c.b)
	c.talk(t)
}

// The peer resets in the moment of activation: the caller gets the descriptor of
// a dead connection, as from any accept.
func TestActivateAfterReset(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.connect(t)
	down := randomBytes(4 << 20)
	written := 0
	until(t, "window shut", func() bool {
		written += c.write(t, down[written:])
		i, err := getInfo(c.fd)
		return err == nil && i.notSent > 0
	})
	f, e := frozenEndpoint(t, c)
	control(t, c.client, func(fd int) error { return setLinger(fd, 0) })
	c.client.Close() // its reset is lost at the frozen donor
	i := insertAt(t, c.b, e)
	c.route(c.b)
	fd, err := i.Activate() // whatever it sends is answered with a reset
	if err != nil {
		t.Fatal(err)
	}
	c.fd, fd = fd, c.fd
	c.waitState(t, Closed)
	c.fd, fd = fd, c.fd
	unix.Close(fd)
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
}
