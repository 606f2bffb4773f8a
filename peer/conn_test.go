package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/internal/crew"
)

var (
	testPeer  = netip.MustParseAddr("2001:db8:2::10")
	testHello = hello{maxMessage: 1 << 20, maxInFlight: 4, heartbeat: time.Second}
)

func noHandler(context.Context, netip.Addr, Kind, []byte) ([]byte, error) { return nil, nil }

// start puts one end of a pipe to work and returns the other.
func start(t *testing.T, serve func(context.Context, netip.Addr, Kind, []byte) ([]byte, error)) (*conn, net.Conn, chan error) {
	t.Helper()
	near, far := net.Pipe()
	c := newConn(near, testPeer, true, testHello, testHello, new(counters), crew.New(0), serve)
	over := make(chan error, 1)
	go func() { over <- c.run() }()
	t.Cleanup(func() { c.fail(ErrClosed); far.Close() })
	return c, far, over
}

// A peer that has fallen silent is dead after three of its heartbeats, not
// before, and the calls under way say that their outcome is unknown.
func TestSilentPeerIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far, over := start(t, noHandler)
		go io.Copy(io.Discard, far)
		result := make(chan error, 1)
		go func() {
			_, err := c.call(t.Context(), 1, []byte("x"))
			result <- err
		}()
		began := time.Now()
		if err := <-over; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over because of %v", err)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("noticed after %v", d)
		}
		if err := <-result; !errors.Is(err, ErrLost) {
			t.Errorf("call: %v, want ErrLost", err)
		}
	})
}

// Two ends with nothing to say keep each other alive.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		a := newConn(near, testPeer, true, testHello, testHello, new(counters), crew.New(0), noHandler)
		b := newConn(far, testPeer, false, testHello, testHello, new(counters), crew.New(0), noHandler)
		done := make(chan error, 2)
		go func() { done <- a.run() }()
		go func() { done <- b.run() }()
		time.Sleep(time.Hour) // of the bubble's time
		if err := errors.Join(a.reason(), b.reason()); err != nil {
			t.Errorf("ended: %v", err)
		}
		a.fail(ErrClosed)
		<-done
		<-done
	})
}

// A peer that never reads cannot stop us for good: a request that never left
// whole is ErrUnreachable.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far, over := start(t, noHandler)
		ended := make(chan struct{})
		go func() { // it pings, but reads only the first fragment
			defer close(ended)
			io.ReadFull(far, make([]byte, headerLen+maxFragment))
			for {
				if _, err := far.Write(header{typ: framePing}.append(nil)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		_, err := c.call(t.Context(), 1, make([]byte, 3*maxFragment))
		if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrLost) {
			t.Errorf("call: %v, want ErrUnreachable", err)
		}
		<-over
		<-ended
	})
}

// What a peer must not do ends the connection.
func TestBreaches(t *testing.T) {
	request := func(id uint64, more bool, body string) []byte {
		return append(header{length: len(body), typ: frameRequest, more: more, kind: 1, id: id}.append(nil), body...)
	}
	never := func(ctx context.Context, _ netip.Addr, _ Kind, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	join := func(frames ...[]byte) (all []byte) {
		for _, f := range frames {
			all = append(all, f...)
		}
		return all
	}
	for name, sent := range map[string][]byte{
		"answer nobody asked for": header{typ: frameResponse, id: 7}.append(nil),
		"request twice":           join(request(1, false, "x"), request(1, false, "x")),
		"too many requests":       join(request(1, false, ""), request(2, false, ""), request(3, false, ""), request(4, false, ""), request(5, false, "")),
		"too many begun":          join(request(1, true, "x"), request(2, true, "x"), request(3, true, "x"), request(4, true, "x"), request(5, true, "x")),
		"goes on as another":      join(request(1, true, "x"), header{length: 1, typ: frameRequest, kind: 2, id: 1}.append(nil), []byte("x")),
		"second hello":            append(header{length: helloLen, typ: frameHello}.append(nil), testHello.marshal()...),
		"garbage":                 []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, far, over := start(t, never)
				go io.Copy(io.Discard, far)
				go far.Write(sent)
				var breach *ProtocolError
				if err := <-over; !errors.As(err, &breach) {
					t.Errorf("over because of %v", err)
				}
			})
		})
	}
}

// Requests that exceed the memory set aside are refused; the connection and the
// other requests go on.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, far, _ := start(t, func(context.Context, netip.Addr, Kind, []byte) ([]byte, error) {
			<-release
			return nil, nil
		})
		go func() {
			for id := uint64(1); id <= 3; id++ { // twice the longest message is the budget
				body := make([]byte, maxFragment)
				for left := testHello.maxMessage; left > 0; left -= maxFragment {
					far.Write(header{length: maxFragment, typ: frameRequest, more: left > maxFragment, kind: 1, id: id}.append(nil))
					far.Write(body)
				}
			}
		}()
		next := func() header {
			for {
				h, _, err := readFrame(far, make([]byte, headerLen+maxFragment))
				if err != nil {
					t.Fatal(err)
				}
				if h.typ != framePing {
					return h
				}
			}
		}
		if h := next(); h.typ != frameError || h.id != 3 {
			t.Errorf("answer is %+v, want an error for 3", h)
		}
		close(release)
		if a, b := next(), next(); a.typ != frameResponse || b.typ != frameResponse {
			t.Errorf("answers are %+v and %+v", a, b)
		}
		if left := c.budget.left.Load(); left != int64(2*testHello.maxMessage) {
			t.Errorf("%d bytes of budget left after all", left)
		}
	})
}

// A call that is given up while half of it is out is cancelled at the peer and
// leaves nothing behind.
func TestCancelHalfSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far, _ := start(t, noHandler)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := c.call(ctx, 1, make([]byte, 4*maxFragment))
			result <- err
		}()
		buf := make([]byte, headerLen+maxFragment)
		if h, _, err := readFrame(far, buf); err != nil || !h.more {
			t.Fatalf("first frame %+v, %v", h, err)
		}
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v, want ErrUnreachable and Canceled", err)
		}
		var last header
		for last.typ != frameCancel {
			h, _, err := readFrame(far, buf)
			if err != nil {
				t.Fatal(err)
			}
			last = h
		}
		if len(c.slots) != 1 {
			t.Errorf("%d slots taken before the peer answered", len(c.slots))
		}
		text := (&RemoteError{Code: CodeCancelled}).marshal()
		go far.Write(append(header{length: len(text), typ: frameError, id: last.id}.append(nil), text...))
		synctest.Wait()
		if len(c.slots) != 0 {
			t.Errorf("%d slots taken after the peer answered", len(c.slots))
		}
	})
}

// The peer drops a half-sent request when it is cancelled, and answers it.
func TestCancelHalfReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far, _ := start(t, noHandler)
		far.Write(append(header{length: 1, typ: frameRequest, more: true, kind: 1, id: 9}.append(nil), 'x'))
		go far.Write(header{typ: frameCancel, id: 9}.append(nil))
		buf := make([]byte, headerLen+maxFragment)
		h, _, err := readFrame(far, buf)
		if err != nil || h.typ != frameError || h.id != 9 {
			t.Errorf("answer is %+v, %v", h, err)
		}
		if left := c.budget.left.Load(); left != int64(2*testHello.maxMessage) {
			t.Errorf("%d bytes of budget left after all", left)
		}
	})
}
