package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a proxy between a listener that stands for vanycast's and an
// application server.
type rig struct {
	*testing.T
	front net.Listener
	stop  context.CancelFunc
	ended chan error
}

// newRig starts the proxy and, if serve is not nil, an application server that
// runs serve for each connection.
func newRig(t *testing.T, serve func(*net.TCPConn)) *rig {
	t.Helper()
	back, front := listen(t), listen(t)
	var servers sync.WaitGroup
	if serve == nil {
		back.Close()
	} else {
		servers.Go(func() {
			for {
				c, err := back.Accept()
				if err != nil {
					return
				}
				servers.Go(func() { defer c.Close(); serve(c.(*net.TCPConn)) })
			}
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &rig{t, front, stop, make(chan error, 1)}
	p := &proxy{
		backend: back.Addr().String(), dialers: 2, dialTime: 5 * time.Second,
		grace: time.Hour, log: slog.New(slog.DiscardHandler),
	}
	go func() { r.ended <- p.serve(ctx, wrapping{front}) }()
	t.Cleanup(func() {
		stop()
		if err := <-r.ended; err != nil {
			t.Errorf("proxy: %v", err)
		}
		back.Close()
		servers.Wait()
	})
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// wrapping gives connections as vanycast.Listener does: TCP inside, and closed
// in order by the daemon.
type wrapping struct{ net.Listener }

type wrapped struct {
	*net.TCPConn
	once *sync.Once
}

func (c wrapped) NetConn() net.Conn { return c.TCPConn }

func (c wrapped) Close() error {
	c.once.Do(func() {
		c.CloseWrite()
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, c.TCPConn)
		c.TCPConn.Close()
	})
	return nil
}

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrapped{c.(*net.TCPConn), new(sync.Once)}, nil
}

func (r *rig) dial() *net.TCPConn {
	r.Helper()
	c, err := net.Dial("tcp", r.front.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	// A test that hangs is ended here, not by go test.
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	src := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(src.Uint32())
	}
	return b
}

// Several megabytes both ways at once, for several clients, arrive as sent.
func TestBothWaysAtOnce(t *testing.T) {
	r := newRig(t, func(c *net.TCPConn) { io.Copy(c, c); c.CloseWrite() })
	var clients sync.WaitGroup
	for i := range 5 {
		c := r.dial()
		clients.Go(func() {
			data := random(3<<20, uint64(i))
			go func() { c.Write(data); c.CloseWrite() }()
			h := sha256.New()
			n, err := io.Copy(h, c)
			if err != nil || n != int64(len(data)) {
				t.Errorf("client %d got %d bytes, %v", i, n, err)
			} else if sum := sha256.Sum256(data); !bytes.Equal(h.Sum(nil), sum[:]) {
				t.Errorf("client %d got other bytes", i)
			}
		})
	}
	clients.Wait()
}

// A client that has finished its request still gets the whole answer.
func TestHalfCloseByClient(t *testing.T) {
	r := newRig(t, func(c *net.TCPConn) {
		request, err := io.ReadAll(c)
		if err == nil {
			c.Write(append([]byte("answer to "), request...))
		}
	})
	c := r.dial()
	_, err := io.WriteString(c, "request")
	r.must(err)
	r.must(c.CloseWrite())
	answer, err := io.ReadAll(c)
	r.must(err)
	if string(answer) != "answer to request" {
		t.Errorf("got %q", answer)
	}
}

// A server that has said all still hears the client to its end.
func TestHalfCloseByServer(t *testing.T) {
	heard := make(chan string, 1)
	r := newRig(t, func(c *net.TCPConn) {
		io.WriteString(c, "all I say")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})
	c := r.dial()
	said, err := io.ReadAll(c)
	r.must(err)
	if string(said) != "all I say" {
		t.Errorf("got %q", said)
	}
	_, err = io.WriteString(c, "still here")
	r.must(err)
	r.must(c.CloseWrite())
	if got := <-heard; got != "still here" {
		t.Errorf("server heard %q", got)
	}
}

// What a client sends to a server that does not read stays with the client:
// the proxy stores nothing, and nothing is lost when the server reads at last.
func TestBackPressure(t *testing.T) {
	read := make(chan struct{})
	got := make(chan int64, 1)
	r := newRig(t, func(c *net.TCPConn) {
		<-read
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	c := r.dial()
	chunk := make([]byte, 64<<10)
	var sent int64
	for sent < 1<<30 {
		r.must(c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)))
		n, err := c.Write(chunk)
		sent += int64(n)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		r.must(err)
	}
	if sent > 256<<20 {
		t.Errorf("%d bytes were taken though nobody reads", sent)
	}
	r.must(c.CloseWrite())
	close(read)
	if n := <-got; n != sent {
		t.Errorf("server read %d bytes of %d", n, sent)
	}
}

// The client is closed with a FIN, not a reset, whatever it sent already.
func TestServerNotThere(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	if _, err := c.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("client read %q, %v", b, err)
	}
}

func TestServerResets(t *testing.T) {
	r := newRig(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 4))
		c.SetLinger(0)
	})
	c := r.dial()
	_, err := io.WriteString(c, "ping")
	r.must(err)
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("client read %q, %v", b, err)
	}
}

func TestClientResets(t *testing.T) {
	ended := make(chan struct{})
	r := newRig(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c)
		close(ended)
	})
	c := r.dial()
	r.must(c.SetLinger(0))
	_, err := io.WriteString(c, "x")
	r.must(err)
	r.must(c.Close())
	<-ended
}

// When the proxy ends, clients that are being served may finish.
func TestGrace(t *testing.T) {
	r := newRig(t, func(c *net.TCPConn) { io.Copy(c, c) })
	c := r.dial()
	ping := func() {
		t.Helper()
		_, err := io.WriteString(c, "ping")
		r.must(err)
		b := make([]byte, 4)
		_, err = io.ReadFull(c, b)
		r.must(err)
	}
	ping()
	r.stop()
	for err := error(nil); !errors.Is(err, net.ErrClosed); { // until the proxy has closed it
		_, err = r.front.Accept()
	}
	ping()
	r.must(c.CloseWrite())
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
}

func TestGraceEnds(t *testing.T) {
	served := make(chan struct{})
	back := listen(t)
	go func() {
		c, err := back.Accept()
		if err != nil {
			return
		}
		close(served)
		io.Copy(io.Discard, c)
		c.Close()
	}()
	front := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	p := &proxy{backend: back.Addr().String(), dialers: 1, dialTime: 5 * time.Second, log: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, front) }()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-served
	stop()
	if err := <-ended; err != nil {
		t.Errorf("proxy: %v", err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("client read %q, %v", b, err)
	}
}

func TestListenerFails(t *testing.T) {
	ln := listen(t)
	ln.Close()
	p := &proxy{backend: "[::1]:1", dialers: 1, log: slog.New(slog.DiscardHandler)}
	if err := p.serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
