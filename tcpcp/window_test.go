package tcpcp

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/firstwindow"
)

func TestFirstWindow(t *testing.T) {
	for _, c := range []struct {
		sent         int
		window, each uint32
		want         uint32
	}{
		{0, 100, 1000, 0},       // a new connection's will do
		{40_000, 0, 0, 0},       // of a donor that does not tell
		{40_000, 100, 47, 0},    // of one that tells nonsense
		{40_000, 10, 1000, 0},   // no more was allowed
		{40_000, 100, 1000, 50}, // and ten of our own
		{40_001, 100, 1000, 51}, // the last one is short
		{40_000, 45, 1000, 45},  // never more than the donor
		{100, 100, 1000, 11},
		{1 << 25, 64, 65535, 64},
	} {
		e := &Endpoint{Sent: make([]byte, c.sent), Options: Options{CongestionWindow: c.window, SegmentSize: c.each}}
		if got := e.firstWindow(); got != c.want {
			t.Errorf("%d bytes on their way in segments of %d, %d allowed: first window %d, want %d", c.sent, c.each, c.window, got, c.want)
		}
	}
}

// A connection with forty segments on their way is moved, and sends ten more at
// once: it has as large a window as it had. Nothing is acknowledged meanwhile.
func TestWindowMoves(t *testing.T) {
	t.Parallel()
	setter, err := firstwindow.New()
	if err != nil {
		t.Skip(err)
	}
	defer setter.Close()
	const each, onTheirWay, more = 1000, 40, 10
	for _, congestion := range []string{"cubic", "reno", "bbr"} {
		t.Run(congestion, func(t *testing.T) {
			l := newLab(t)
			// No timer ends what is shown here.
			for host, via := range map[string]string{"a": "2001:db8:1::1", "b": "2001:db8:2::1"} {
				l.net.Lookup(host).IP("-6", "route", "replace", clientAddr.String(), "via", via, "rto_min", "60s")
			}
			c := l.connect(t)
			if err := unix.SetsockoptString(c.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion); err != nil {
				t.Skipf("congestion control %s: %v", congestion, err)
			}
			control(t, c.server(t), func(fd int) error { return optNoDelay.set(fd, 1) })
			c.fill(t, 2<<20) // the window grows
			window := infoOf(t, c.fd).window
			if window < onTheirWay+more {
				t.Fatalf("a window of %d segments before, at least %d wanted", window, onTheirWay+more)
			}
			l.client.IP("-6", "route", "replace", "blackhole", serverAddr.String())
			c.say(t, onTheirWay, each)
			f, err := Freeze(c.fd)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Forget()
			e, err := f.Extract()
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Sent) != onTheirWay*each {
				t.Fatalf("%d bytes on their way, want %d", len(e.Sent), onTheirWay*each)
			}
			var i *Inserted
			do(t, l.b, func() { i, err = InsertWith(e, setter.Set) })
			if err != nil {
				t.Fatal(err)
			}
			if len(i.Notes()) > 0 {
				t.Fatal(i.Notes())
			}
			if c.fd, err = i.Activate(); err != nil {
				t.Fatal(err)
			}
			if got, want := infoOf(t, c.fd).segmentSize, e.Options.SegmentSize; got != want {
				t.Errorf("segments of %d bytes, want %d", got, want)
			}
			c.say(t, more, each)
			if left := infoOf(t, c.fd).notSent; left != 0 {
				t.Errorf("%d bytes of %d were not sent", left, more*each)
			}
			if got, want := infoOf(t, c.fd).window, min(window, e.firstWindow()); got != want {
				t.Errorf("a window of %d segments, want %d", got, want)
			}
			l.client.IP("-6", "route", "del", "blackhole", serverAddr.String())
			l.route(l.b)
			got := make([]byte, (onTheirWay+more)*each)
			if _, err := io.ReadFull(c.client, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, bytes.Repeat([]byte{'x'}, len(got))) {
				t.Error("the client received something else")
			}
		})
	}
}

func infoOf(t testing.TB, fd int) info {
	t.Helper()
	i, err := getInfo(fd)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// fill has the client receive n bytes.
func (c *connection) fill(t testing.TB, n int) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := io.CopyN(io.Discard, c.client, int64(n)); done <- err }()
	s := c.server(t)
	if _, err := s.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	until(t, "all is acknowledged", func() bool { n, err := ioctlInt(c.fd, unix.SIOCOUTQ, "SIOCOUTQ"); return err == nil && n == 0 })
}

// say sends n times the same.
func (c *connection) say(t testing.TB, n, each int) {
	t.Helper()
	s := c.server(t)
	for range n {
		if _, err := s.Write(bytes.Repeat([]byte{'x'}, each)); err != nil {
			t.Fatal(fmt.Errorf("at the server: %w", err))
		}
	}
}
