package tcpcp

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// optionsOf reads the options of a live socket.
func optionsOf(t testing.TB, fd int) Options {
	t.Helper()
	f := &Frozen{fd: fd}
	var err error
	if f.keepAlive, err = optKeepAlive.getBool(fd); err != nil {
		t.Fatal(err)
	}
	if f.userTimeout, err = optUserTimeout.get(fd); err != nil {
		t.Fatal(err)
	}
	var o Options
	if err := f.readOptions(&o); err != nil {
		t.Fatal(err)
	}
	mem, err := getMemory(fd)
	if err != nil {
		t.Fatal(err)
	}
	o.SendBuffer, o.ReceiveBuffer = mem.sendBuffer, mem.receiveBuffer
	return o
}

func setAll(t testing.TB, fd int, settings []setting) {
	t.Helper()
	if err := setEach(fd, settings); err != nil {
		t.Fatal(err)
	}
}

// Each option that a server may have set, at values that are nobody's default.
func TestMoveOptions(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	setAll(t, c.fd, []setting{
		{optNoDelay, true, 1},
		{optKeepAlive, true, 1},
		{optKeepIdle, true, 111},
		{optKeepInterval, true, 22},
		{optKeepCount, true, 3},
		{optUserTimeout, true, 44444},
		{optSendBuffer, true, 300000},
		{optReceiveBuffer, true, 200000},
		{optTrafficClass, true, 0xb8},
		{optNotSentLowat, true, 16384},
		{optOOBInline, true, 1},
	})
	if err := optCongestion.setName(c.fd, "reno"); err != nil {
		t.Fatal(err)
	}
	if err := setLinger(c.fd, 7); err != nil {
		t.Fatal(err)
	}
	want := Options{
		NoDelay: true, KeepAlive: true, KeepAliveIdle: 111, KeepAliveInterval: 22, KeepAliveCount: 3,
		UserTimeout: 44444, Congestion: "reno",
		SendBuffer: 600000, ReceiveBuffer: 400000, SendBufferLocked: true, ReceiveBufferLocked: true,
		TrafficClass: 0xb8, NotSentLowat: 16384, OOBInline: true, Linger: true, LingerSeconds: 7,
	}
	if diff := cmp.Diff(want, optionsOf(t, c.fd)); diff != "" {
		t.Fatalf("before moving (-want +got):\n%s", diff)
	}
	c.receive(t, randomBytes(1000)) // counting unread bytes toggles SO_OOBINLINE
	for range 2 {
		_, e := c.move(t, c.b)
		if diff := cmp.Diff(want, e.Options); diff != "" {
			t.Errorf("extracted (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, optionsOf(t, c.fd)); diff != "" {
			t.Errorf("after moving (-want +got):\n%s", diff)
		}
		c.testLab.a, c.testLab.b = c.testLab.b, c.testLab.a
		c.forgetFrozen(t)
	}
}

// Nothing set stays nothing set: the kernel goes on tuning the buffers.
func TestMoveDefaultOptions(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	before := optionsOf(t, c.fd)
	c.receive(t, randomBytes(1000))
	c.move(t, c.b)
	if diff := cmp.Diff(before, optionsOf(t, c.fd)); diff != "" {
		t.Errorf("after moving (-before +after):\n%s", diff)
	}
	if before.SendBufferLocked || before.OOBInline {
		t.Errorf("not the defaults: %+v", before)
	}
}

// TCP_CORK alone: it holds back what is not a full segment, and goes on so.
func TestMoveCork(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	setAll(t, c.fd, []setting{{optCork, true, 1}})
	c.move(t, c.b)
	if !optionsOf(t, c.fd).Cork {
		t.Error("TCP_CORK is off after moving")
	}
}

// A congestion control that the acceptor has not is told, and does no harm.
func TestInsertWithoutCongestionControl(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	f, err := Freeze(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.Extract()
	if err != nil {
		t.Fatal(err)
	}
	own := e.Options.Congestion
	e.Options.Congestion = "nowhere"
	i := insertAt(t, c.b, e)
	if notes := i.Notes(); len(notes) != 1 || !errors.Is(notes[0], unix.ENOENT) {
		t.Errorf("notes: %v", notes)
	}
	c.route(c.b)
	old := c.fd
	if c.fd, err = i.Activate(); err != nil {
		t.Fatal(err)
	}
	if got := optionsOf(t, c.fd).Congestion; got != own {
		t.Errorf("congestion control %q, want the default %q", got, own)
	}
	if old == c.fd {
		t.Error("the descriptors of donor and acceptor are one")
	}
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	c.talk(t)
}

// Many moves with full queues do not make the buffers grow.
func TestBuffersDoNotGrow(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	deafen(t, c.client)
	c.write(t, randomBytes(8<<20)) // as much as the buffer takes
	before := optionsOf(t, c.fd)
	for i := range 8 {
		c.move(t, c.turn(i))
		c.forgetFrozen(t)
	}
	if after := optionsOf(t, c.fd); after.SendBuffer > before.SendBuffer || after.ReceiveBuffer > before.ReceiveBuffer {
		t.Errorf("buffers of %d and %d bytes, were %d and %d", after.SendBuffer, after.ReceiveBuffer, before.SendBuffer, before.ReceiveBuffer)
	}
}
