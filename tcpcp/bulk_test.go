package tcpcp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vlab "github.com/vanycast/vanycast/tests/lab"
)

// bulkCase is a transfer of bytes each way with moves in the middle.
type bulkCase struct {
	bytes, moves int
	link         []vlab.LinkOption
	capture      []vlab.CaptureOption
	never        string // tshark's filter for what must not be seen
}

// stream is one direction's bytes, made as they are needed, and their digest.
type stream struct {
	source *rand.ChaCha8
	sum    hash.Hash
	left   int
	chunk  []byte // made and not yet written
	buf    [256 << 10]byte
}

func newStream(seed byte, n int) *stream {
	return &stream{source: rand.NewChaCha8([32]byte{seed}), sum: sha256.New(), left: n}
}

// writeTo writes the rest until the deadline, and keeps what was not taken: the
// partial-write count that an application has to carry along.
func (s *stream) writeTo(f *os.File, count *atomic.Int64) error {
	for s.left > 0 {
		if len(s.chunk) == 0 {
			s.chunk = s.buf[:min(len(s.buf), s.left)]
			s.source.Read(s.chunk)
			s.sum.Write(s.chunk)
		}
		n, err := f.Write(s.chunk)
		s.chunk = s.chunk[n:]
		s.left -= n
		count.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// sink is what arrives.
type sink struct {
	sum  hash.Hash
	left int
	buf  [256 << 10]byte
}

func (s *sink) readFrom(f *os.File, count *atomic.Int64) error {
	for s.left > 0 {
		n, err := f.Read(s.buf[:min(len(s.buf), s.left)])
		s.sum.Write(s.buf[:n])
		s.left -= n
		count.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// worker is an application at one end of the connection: it reads and writes at
// once, and can be stopped and go on elsewhere.
type worker struct {
	out   *stream
	in    *sink
	count atomic.Int64
}

func newWorker(seed byte, n int) *worker {
	return &worker{out: newStream(seed, n), in: &sink{sum: sha256.New(), left: n}}
}

// run works until it is done or until the deadline of f.
func (w *worker) run(f *os.File) error {
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { errs[0] = w.out.writeTo(f, &w.count) })
	both.Go(func() { errs[1] = w.in.readFrom(f, &w.count) })
	both.Wait()
	for i, err := range errs {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			errs[i] = nil
		}
	}
	return errors.Join(errs[:]...)
}

// ownership is when a host spoke for the connection.
type ownership struct {
	host     *vlab.Host
	from, to time.Time
}

// 200 MB in each direction at once, the server's end moving more than a hundred
// times meanwhile. Both ends get what the other sent; there is no reset, nothing
// that tshark calls malformed, and not a segment from a host that does not own
// the connection at that moment.
func TestMoveBulk(t *testing.T) {
	bulkCase{
		bytes: 200 << 20, moves: 110,
		capture: []vlab.CaptureOption{vlab.Snaplen(128), vlab.Filter("tcp")},
		never:   fmt.Sprintf("%s || %s", vlab.FilterReset, vlab.FilterMalformed),
	}.run(t)
}

// The same, less of it, where each segment is a packet with a checksum to be
// judged.
func TestMoveBulkOnWire(t *testing.T) {
	bulkCase{
		bytes: 15 << 20, moves: 40,
		link:    []vlab.LinkOption{vlab.Wire()},
		capture: []vlab.CaptureOption{vlab.Filter("tcp")},
		never:   fmt.Sprintf("%s || %s || %s", vlab.FilterReset, vlab.FilterMalformed, vlab.FilterBadChecksum),
	}.run(t)
}

func (b bulkCase) run(t *testing.T) {
	l := newLab(t, b.link...)
	var captures []*vlab.Capture
	for _, iface := range []string{"to-a", "to-b"} {
		capture, err := l.client.Capture(iface, b.capture...)
		if err != nil {
			t.Fatal(err)
		}
		captures = append(captures, capture)
	}
	watches := map[*vlab.Host]*watch{l.a: watchHost(t, l.a), l.b: watchHost(t, l.b)}
	c := l.connect(t)
	c.talk(t)
	for _, w := range watches {
		w.settle(t) // by now the kernel stamps packets when they are sent
	}

	client, server := newWorker(1, b.bytes), newWorker(2, b.bytes)
	clientDone := make(chan error, 1)
	go func() { clientDone <- client.run(c.client) }()

	owned := c.shuttle(t, server, b)
	if err := <-clientDone; err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		name string
		out  *stream
		in   *sink
	}{{"client to server", client.out, server.in}, {"server to client", server.out, client.in}} {
		sent, got := fmt.Sprintf("%x", way.out.sum.Sum(nil)), fmt.Sprintf("%x", way.in.sum.Sum(nil))
		if sent != got || way.out.left != 0 || way.in.left != 0 {
			t.Errorf("%s: sent %s, got %s; %d unsent, %d missing", way.name, sent, got, way.out.left, way.in.left)
		}
	}
	if moves := len(owned) - 1; moves < b.moves*9/10 {
		t.Errorf("%d moves, want about %d", moves, b.moves)
	}
	c.talk(t)
	checkOwners(t, watches, owned)
	for _, capture := range captures {
		if err := capture.Stop(); err != nil {
			t.Fatal(err)
		}
		problems, err := capture.Frames(context.Background(), b.never)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) > 0 {
			t.Errorf("%d frames that must not be: %.5q", len(problems), problems)
		}
	}
}

// shuttle lets the server work, and moves it each time that it has made some
// progress. It returns who owned the connection when.
func (c *connection) shuttle(t *testing.T, server *worker, b bulkCase) []ownership {
	t.Helper()
	all := int64(2 * b.bytes)
	step := all / int64(b.moves+1)
	owned := []ownership{{host: c.a}}
	for next := step; ; next += step {
		f := c.server(t)
		done := make(chan error, 1)
		go func() { done <- server.run(f) }()
		until(t, "the server's progress", func() bool { return server.count.Load() >= min(next, all) })
		if err := f.SetDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if server.count.Load() == all {
			return owned
		}
		owned = c.moveOwned(t, owned)
	}
}

func (c *connection) moveOwned(t *testing.T, owned []ownership) []ownership {
	t.Helper()
	to := c.turn(len(owned) - 1)
	f := freeze(t, c)
	owned[len(owned)-1].to = time.Now()
	var from time.Time
	c.beforeActivate = func() { from = time.Now() }
	c.moveFrozen(t, f, to)
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	return append(owned, ownership{host: to, from: from})
}

// checkOwners compares who sent with who was to.
func checkOwners(t *testing.T, watches map[*vlab.Host]*watch, owned []ownership) {
	t.Helper()
	owned[len(owned)-1].to = time.Now().Add(time.Hour)
	// The kernel stamps when it sends; the clock here is read a little after the
	// freeze and a little before activation.
	for h, w := range watches {
		w.settle(t)
		for _, s := range w.segments() {
			if s.out && !ownedAt(owned, h, s.at) {
				t.Errorf("%s sent %v at %v, and did not own the connection", h.Name(), s, s.at)
			}
		}
	}
}

func ownedAt(owned []ownership, h *vlab.Host, at time.Time) bool {
	for _, o := range owned {
		if o.host == h && !at.Before(o.from) && !at.After(o.to) {
			return true
		}
	}
	return false
}
