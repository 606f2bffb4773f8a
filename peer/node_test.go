package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/peer/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const echo peer.Kind = 100

// group is an authority and nodes on 127.0.0.x, all with the same port.
type group struct {
	t    *testing.T
	dir  string
	port uint16
}

func newGroup(t *testing.T) *group {
	t.Helper()
	dir := t.TempDir()
	if err := pki.NewAuthority(dir); err != nil {
		t.Fatal(err)
	}
	return &group{t, dir, freePort(t)}
}

// freePort finds one that is free on the addresses of all nodes. It is below
// those that the kernel gives to outgoing connections, whose remains would be in
// the way.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 100 {
		port := uint16(20000 + rand.IntN(10000))
		free := true
		for i := 1; i <= 4 && free; i++ {
			ln, err := net.Listen("tcp4", netip.AddrPortFrom(addr(i), port).String())
			if free = err == nil; free {
				ln.Close()
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, 0, byte(i)}) }

// config is a working configuration of node i.
func (g *group) config(i int) peer.Config {
	g.t.Helper()
	name := fmt.Sprintf("n%d-%d", i, time.Now().UnixNano())
	if err := pki.Issue(g.dir, name, []netip.Addr{addr(i)}); err != nil {
		g.t.Fatal(err)
	}
	cert, pool, err := pki.Load(filepath.Join(g.dir, name+".pem"), filepath.Join(g.dir, name+".key"), filepath.Join(g.dir, "ca.pem"), addr(i), time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	return peer.Config{
		Listen: netip.AddrPortFrom(addr(i), g.port), Certificate: cert, Authority: pool,
		Allowed:        func(netip.Addr) bool { return true },
		ConnectTimeout: 10 * time.Second, // the machine may be busy
	}
}

// node starts a node that echoes; it is closed at the test's end.
func (g *group) node(i int, change ...func(*peer.Config)) *peer.Node {
	g.t.Helper()
	cfg := g.config(i)
	for _, f := range change {
		f(&cfg)
	}
	n, err := peer.Listen(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { n.Close() })
	n.Handle(echo, func(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
		return append([]byte(from.String()+" "), req...), nil
	})
	return n
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCallAndAnswer(t *testing.T) {
	g := newGroup(t)
	a, b := g.node(1), g.node(2)
	for _, tt := range []struct {
		from *peer.Node
		to   int
		want string
	}{{a, 2, "127.77.0.1 hello"}, {b, 1, "127.77.0.2 hello"}} {
		got, err := tt.from.Call(bounded(t), addr(tt.to), echo, []byte("hello"))
		if err != nil || string(got) != tt.want {
			t.Errorf("got %q, %v; want %q", got, err, tt.want)
		}
	}
	// Both directions share the one connection.
	if n := a.Counters()["connections_dialed"] + b.Counters()["connections_dialed"]; n != 1 {
		t.Errorf("%d connections for one pair", n)
	}
}

// Many calls at once, small and large, each get their own answer.
func TestMultiplexing(t *testing.T) {
	g := newGroup(t)
	a := g.node(1, func(c *peer.Config) { c.MaxInFlight = 8 })
	g.node(2, func(c *peer.Config) { c.MaxInFlight = 16 })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			req := bytes.Repeat([]byte{byte(i)}, 1+i*i*17) // up to 166 KB: several fragments
			got, err := a.Call(bounded(t), addr(2), echo, req)
			want := append([]byte("127.77.0.1 "), req...)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("call %d: %d bytes, %v; want %d bytes", i, len(got), err, len(want))
			}
		})
	}
	wg.Wait()
}

// Both sides connect at the same time, again and again: no call is hurt.
func TestSimultaneousConnect(t *testing.T) {
	for range 10 {
		g := newGroup(t)
		a, b := g.node(1), g.node(2)
		var wg sync.WaitGroup
		for range 8 {
			for n, to := range map[*peer.Node]netip.Addr{a: addr(2), b: addr(1)} {
				wg.Go(func() {
					for range 10 {
						if _, err := n.Call(bounded(t), to, echo, []byte("x")); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		if d := a.Counters()["connections_dialed"]; d > 1 {
			t.Errorf("dialed %d times", d)
		}
		a.Close()
		b.Close()
	}
}

func TestRemoteErrors(t *testing.T) {
	g := newGroup(t)
	a, b := g.node(1), g.node(2)
	b.Handle(101, func(context.Context, netip.Addr, []byte) ([]byte, error) {
		return nil, fmt.Errorf("wrapped: %w", &peer.RemoteError{Code: 777, Text: "full"})
	})
	b.Handle(102, func(context.Context, netip.Addr, []byte) ([]byte, error) { return nil, errors.New("broken") })
	for kind, want := range map[peer.Kind]peer.RemoteError{
		101: {Code: 777, Text: "full"},
		102: {Code: peer.CodeInternal, Text: "broken"},
		103: {Code: peer.CodeUnknownKind, Text: "no handler for kind 103"},
	} {
		_, err := a.Call(bounded(t), addr(2), kind, nil)
		var got *peer.RemoteError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("kind %d: %v, want %v", kind, err, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	g := newGroup(t)
	a := g.node(1, func(c *peer.Config) { c.Allowed = func(a netip.Addr) bool { return a != addr(9) } })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx context.Context
		to  netip.Addr
	}{
		"nobody listens":        {bounded(t), addr(2)},
		"not a replica":         {bounded(t), addr(9)},
		"itself":                {bounded(t), addr(1)},
		"context already ended": {ended, addr(2)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.Call(tt.ctx, tt.to, echo, nil); !errors.Is(err, peer.ErrUnreachable) || errors.Is(err, peer.ErrLost) {
				t.Errorf("Call: %v, want ErrUnreachable", err)
			}
			if err := a.Connect(tt.ctx, tt.to); !errors.Is(err, peer.ErrUnreachable) {
				t.Errorf("Connect: %v, want ErrUnreachable", err)
			}
		})
	}
}

// A host that takes the connection but never speaks costs no more than
// ConnectTimeout.
func TestConnectTimeout(t *testing.T) {
	g := newGroup(t)
	a := g.node(1, func(c *peer.Config) { c.ConnectTimeout = 50 * time.Millisecond })
	ln, err := net.Listen("tcp4", netip.AddrPortFrom(addr(2), g.port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := a.Connect(bounded(t), addr(2)); !errors.Is(err, peer.ErrUnreachable) || !strings.Contains(err.Error(), "within 50ms") {
		t.Errorf("error is %v", err)
	}
}

// The request reached the handler and the connection died: nobody knows.
func TestLost(t *testing.T) {
	g := newGroup(t)
	a, b := g.node(1), g.node(2)
	started, ended := make(chan struct{}), make(chan error, 1)
	b.Handle(101, func(ctx context.Context, _ netip.Addr, _ []byte) ([]byte, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	result := make(chan error, 1)
	go func() {
		_, err := a.Call(bounded(t), addr(2), 101, nil)
		result <- err
	}()
	<-started
	a.Close()
	if err := <-result; !errors.Is(err, peer.ErrLost) || errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("error is %v, want ErrLost", err)
	}
	<-ended // the handler is told that its caller is gone
}

func TestCancelledCall(t *testing.T) {
	g := newGroup(t)
	a, b := g.node(1, func(c *peer.Config) { c.MaxInFlight = 1 }), g.node(2)
	started, ended := make(chan struct{}), make(chan struct{})
	b.Handle(101, func(ctx context.Context, _ netip.Addr, _ []byte) ([]byte, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(bounded(t))
	go func() { <-started; cancel() }()
	_, err := a.Call(ctx, addr(2), 101, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, peer.ErrLost) {
		t.Errorf("error is %v, want context.Canceled and ErrLost", err)
	}
	<-ended
	// Its only slot is free again once the peer has answered.
	if _, err := a.Call(bounded(t), addr(2), echo, nil); err != nil {
		t.Errorf("call after a cancelled one: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	g := newGroup(t)
	a := g.node(1)
	b := g.node(2, func(c *peer.Config) { c.MaxMessage = 1000 })
	if _, err := a.Call(bounded(t), addr(2), echo, make([]byte, 1001)); !errors.Is(err, peer.ErrTooLarge) {
		t.Errorf("request: %v, want ErrTooLarge", err)
	}
	// The answer of 989 + 11 bytes fits, of one more it does not.
	if _, err := b.Call(bounded(t), addr(1), echo, make([]byte, 989)); err != nil {
		t.Error(err)
	}
	var remote *peer.RemoteError
	if _, err := b.Call(bounded(t), addr(1), echo, make([]byte, 990)); !errors.As(err, &remote) {
		t.Errorf("answer: %v, want a remote error", err)
	}
}

// A peer that restarts is reached again by the next call.
func TestReconnect(t *testing.T) {
	g := newGroup(t)
	a := g.node(1)
	for range 3 {
		b := g.node(2)
		if _, err := a.Call(bounded(t), addr(2), echo, nil); err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	if n := a.Counters()["connections_dialed"]; n != 3 {
		t.Errorf("dialed %d times, want 3", n)
	}
}

// logCount counts lines of the log.
type logCount struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (l *logCount) Enabled(context.Context, slog.Level) bool { return true }
func (l *logCount) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Level >= slog.LevelWarn {
		l.lines = append(l.lines, r.Message)
	}
	return nil
}

func TestRefusedPeers(t *testing.T) {
	g, strangers := newGroup(t), newGroup(t)
	strangers.port = g.port
	tests := map[string]struct {
		caller  func() *peer.Node
		counter string
	}{
		"certificate of another authority": {func() *peer.Node { return strangers.node(2) }, "refused_handshake"},
		"certificate of another address": {func() *peer.Node {
			cert := g.config(3).Certificate
			return g.node(2, func(c *peer.Config) { c.Certificate = cert })
		}, "refused_handshake"},
		"not allowed": {func() *peer.Node { return g.node(4) }, "refused_not_allowed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			log := &logCount{Handler: slog.DiscardHandler}
			victim := g.node(1, func(c *peer.Config) {
				c.Logger = slog.New(log)
				c.Allowed = func(a netip.Addr) bool { return a != addr(4) }
			})
			defer victim.Close()
			n := tt.caller()
			defer n.Close()
			for range 3 {
				if err := n.Connect(bounded(t), addr(1)); !errors.Is(err, peer.ErrUnreachable) {
					t.Errorf("error is %v, want ErrUnreachable", err)
				}
			}
			victim.Close()
			if got := victim.Counters()[tt.counter]; got != 3 {
				t.Errorf("%s is %d, want 3", tt.counter, got)
			}
			if len(log.lines) != 1 {
				t.Errorf("log: %q, want one line", log.lines)
			}
		})
	}
}

// A wrong certificate at the accepting side is found out by the caller.
func TestWrongServer(t *testing.T) {
	g := newGroup(t)
	cert := g.config(3).Certificate
	g.node(2, func(c *peer.Config) { c.Certificate = cert })
	a := g.node(1)
	if err := a.Connect(bounded(t), addr(2)); !errors.Is(err, peer.ErrUnreachable) || !strings.Contains(err.Error(), "127.77.0.2") {
		t.Errorf("error is %v", err)
	}
}

// Calls given up at any moment, small and large, leave the connection whole and
// every place free.
func TestCancelStorm(t *testing.T) {
	g := newGroup(t)
	a, b := g.node(1, func(c *peer.Config) { c.MaxInFlight = 4 }), g.node(2)
	b.Handle(101, func(ctx context.Context, _ netip.Addr, req []byte) ([]byte, error) {
		if len(req)%3 == 0 {
			<-ctx.Done() // one that would never answer by itself
			return nil, ctx.Err()
		}
		return req, nil
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				ctx, cancel := context.WithTimeout(bounded(t), time.Duration(j*(i+1))*50*time.Microsecond)
				req := bytes.Repeat([]byte{byte(j)}, j*j*150) // up to 228 KB
				got, err := a.Call(ctx, addr(2), 101, req)
				cancel()
				switch {
				case err == nil && !bytes.Equal(got, req):
					t.Errorf("%d bytes came back of %d", len(got), len(req))
				case err != nil && !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 20 {
		if _, err := a.Call(bounded(t), addr(2), echo, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.Counters()["connections_dialed"]; n != 1 {
		t.Errorf("dialed %d times", n)
	}
}
