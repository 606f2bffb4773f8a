package vanycast_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
)

func TestListenRefused(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	for _, tt := range []struct {
		name, service string
		opts          []vanycast.Option
		want          string
	}{
		{"no such service", "ecco", []vanycast.Option{vanycast.WithSocket(p.socket)}, `404): no service "ecco"`},
		{"strange name", "a/b?c", []vanycast.Option{vanycast.WithSocket(p.socket)}, `404): no service "a/b?c"`},
		{"no such policy", "echo", []vanycast.Option{vanycast.WithSocket(p.socket), vanycast.WithPolicy("best")}, `400): framework: no such distribution policy: "best"`},
		{"no daemon", "echo", []vanycast.Option{vanycast.WithSocket(filepath.Join(t.TempDir(), "none"))}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := vanycast.Listen(t.Context(), tt.service, tt.opts...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen: %v, %v; want %q", ln, err, tt.want)
			}
		})
	}
}

// TestListenContext: a daemon that does not answer does not hold Listen.
func TestListenContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mute.sock")
	mute, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := vanycast.Listen(ctx, "echo", vanycast.WithSocket(path)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Listen: %v", err)
	}
}

func TestListenEnvironment(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	t.Setenv(wire.EnvSocket, p.socket)
	ln, err := vanycast.Listen(t.Context(), "echo")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

// TestListenerClose: no more clients are accepted, those that are there stay.
func TestListenerClose(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g := r.replicas[glass]
	ln, lr := g.listen(), r.replicas[reich].listen()
	client := g.dial()
	a := accept(t, ln)
	waiting := make(chan error)
	go func() {
		_, err := ln.Accept()
		waiting <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ln.AcceptContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept with a context that ended: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("waiting Accept: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	send(t, a, "still here")
	expect(t, client, "still here")
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Error(err)
	}
	accept(t, lr).Close()
	eventually(t, "glass has no application", func() bool { return !g.service.Replicas()[0].Listening })
}

// TestAcceptWithdrawn: an Accept that gave up takes no client away from the next.
func TestAcceptWithdrawn(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	first, second := p.listen(), p.listen()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var took *vanycast.Conn
		wg.Go(func() { took, _ = first.AcceptContext(ctx) })
		client := p.dial()
		cancel() // before or after the client came
		wg.Wait()
		if took == nil {
			took = accept(t, second)
		}
		send(t, took, "hello")
		expect(t, client, "hello")
		took.Close()
		client.Close()
	}
}

// TestDaemonGone: Accept and Handoff say so.
func TestDaemonGone(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	p.dial()
	a := accept(t, ln)
	waiting := make(chan error)
	go func() {
		_, err := ln.Accept()
		waiting <- err
	}()
	p.api.Close()
	if err := <-waiting; !errors.Is(err, vanycast.ErrDaemonGone) || errors.Is(err, net.ErrClosed) {
		t.Errorf("waiting Accept: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, vanycast.ErrDaemonGone) {
		t.Errorf("Accept: %v", err)
	}
	if err := a.Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrDaemonGone) {
		t.Errorf("Handoff: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestApplicationDies: its clients get all that was written and a FIN, never a
// reset, though they sent what nobody read.
func TestApplicationDies(t *testing.T) {
	p := newRig(t, func(c *framework.Config) { c.ClearOnClose = true }, glass).replicas[glass]
	// An application that takes one client and dies without a word.
	app, client := p.rawSession(t), p.dial()
	if err := app.Send(&wire.Message{Kind: wire.KindAccept, N: 1}, nil, -1); err != nil {
		t.Fatal(err)
	}
	f, err := app.Receive()
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.Repeat([]byte("last words "), 1000)
	if n, err := unix.Write(f.FD, last); n != len(last) || err != nil {
		t.Fatal(n, err)
	}
	send(t, client, "nobody reads this")
	eventually(t, "the client's bytes are there", func() bool {
		n, _ := unix.IoctlGetInt(f.FD, unix.TIOCINQ)
		return n > 0
	})
	unix.Close(f.FD)
	app.Close()

	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, last) {
		t.Errorf("client got %d bytes, %v; want %d and its end", len(got), err, len(last))
	}
	send(t, client, "nor this")
	if err := client.CloseWrite(); err != nil {
		t.Error(err)
	}
	eventually(t, "the client is forgotten", func() bool { return len(p.service.Clients()) == 0 })
	eventually(t, "its binding is cleared", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.clears) == 1 && p.clears[0].String() == "::1"
	})
}

// TestApplicationMisbehaves: it hurts nobody but itself.
func TestApplicationMisbehaves(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	good := p.listen()
	goodClient := p.dial()
	a := accept(t, good)
	for _, tt := range []struct {
		name string
		m    wire.Message
	}{
		{"message of the daemon's", wire.Message{Kind: wire.KindAdopted}},
		{"too many credits", wire.Message{Kind: wire.KindAccept, N: wire.MaxCredits}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := p.rawSession(t)
			badClient := p.dial()
			if err := bad.Send(&wire.Message{Kind: wire.KindAccept, N: 1}, nil, -1); err != nil {
				t.Fatal(err)
			}
			f, err := bad.Receive()
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(f.FD)
			// None of these is its client, and no handoff is under way.
			for _, m := range []wire.Message{
				{Kind: wire.KindClose, Client: f.Client - 1}, {Kind: wire.KindReturn, Client: f.Client - 1}, {Kind: wire.KindCancel, Client: f.Client},
				{Kind: wire.KindWithdraw, N: 7},
			} {
				if err := bad.Send(&m, nil, -1); err != nil {
					t.Fatal(err)
				}
			}
			if err := bad.Send(&wire.Message{Kind: wire.KindAccept, N: 1}, nil, -1); err != nil {
				t.Fatal(err)
			}
			if err := bad.Send(&tt.m, nil, -1); err != nil {
				t.Fatal(err)
			}
			if f, err := bad.Receive(); err != nil || f.Kind != wire.KindFault || f.Failure.Code != wire.CodeProtocol {
				t.Errorf("got %+v, %v; want a fault", f, err)
			}
			if _, err := bad.Receive(); err != io.EOF {
				t.Errorf("after the fault: %v", err)
			}
			if b, err := io.ReadAll(badClient); err != nil || len(b) > 0 {
				t.Errorf("its client reads %q, %v; want its end", b, err)
			}
			send(t, a, "still here")
			expect(t, goodClient, "still here")
		})
	}
}

// rawSession is an application that speaks the protocol itself.
func (p *replica) rawSession(t testing.TB) *wire.Session {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: p.socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	send(t, conn, "POST /v1/services/echo/listen HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: vanycast/1\r\nContent-Length: 0\r\n\r\n")
	head, b := "", make([]byte, 1)
	for !strings.HasSuffix(head, "\r\n\r\n") {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("after %q: %v", head, err)
		}
		head += string(b)
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("answer %q", head)
	}
	return wire.NewSession(conn)
}

// TestCloseInOrder: Close sends what was written and a FIN, also where the client
// sent what nobody read; SetLinger(0) resets instead.
func TestCloseInOrder(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	for _, tt := range []struct {
		name  string
		reset bool
	}{{"in order", false}, {"reset", true}} {
		t.Run(tt.name, func(t *testing.T) {
			client := p.dial()
			send(t, client, "unread")
			a := accept(t, ln)
			send(t, a, "last")
			expect(t, client, "last")
			if tt.reset {
				if err := a.SetLinger(0); err != nil {
					t.Error(err)
				}
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if err := a.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("second Close: %v", err)
			}
			_, err := io.ReadAll(client)
			if tt.reset != errors.Is(err, unix.ECONNRESET) {
				t.Errorf("client reads: %v", err)
			}
			client.Close()
			eventually(t, "the client is forgotten", func() bool { return len(p.service.Clients()) == 0 })
		})
	}
}

// TestHalfClose: the ends of the two directions are the application's business.
func TestHalfClose(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	client := p.dial()
	a := accept(t, ln)
	send(t, client, "request")
	client.CloseWrite()
	if b, err := io.ReadAll(a); err != nil || string(b) != "request" {
		t.Errorf("read %q, %v", b, err)
	}
	send(t, a, "answer")
	if err := a.CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(client); err != nil || string(b) != "answer" {
		t.Errorf("client read %q, %v", b, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadFrom: files and other readers, and a failed handoff in the middle.
func TestReadFrom(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		r    func(*os.File) io.Reader
		want []byte
	}{
		{"file", func(f *os.File) io.Reader { return f }, data},
		{"part of a file", func(f *os.File) io.Reader { return io.LimitReader(f, 1<<20) }, data[:1<<20]},
		{"other reader", func(f *os.File) io.Reader { return bytes.NewReader(data) }, data},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := p.dial()
			a := accept(t, ln)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var wg sync.WaitGroup
			wg.Go(func() {
				if n, err := a.ReadFrom(tt.r(f)); n != int64(len(tt.want)) || err != nil {
					t.Errorf("ReadFrom: %d, %v; want %d", n, err, len(tt.want))
				}
				a.Close()
			})
			wg.Go(func() {
				for range 5 {
					a.Handoff(t.Context(), dead)
				}
			})
			got, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("client got %d bytes, %v; equal %t", len(got), err, bytes.Equal(got, tt.want))
			}
			wg.Wait()
		})
	}
}

// TestOptions: a fresh client has what net.Listen gives, and options live on when
// a handoff fails and when the client goes to another application.
func TestOptions(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g := r.replicas[glass]
	ln, lr := g.listen(), r.replicas[reich].listen()
	g.dial()
	a := accept(t, ln)
	check := func(c *vanycast.Conn, when string, noDelay, keepAlive, idle int) {
		t.Helper()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			for _, o := range []struct {
				name             string
				level, opt, want int
			}{
				{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, noDelay},
				{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, keepAlive},
				{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle},
			} {
				if got, err := unix.GetsockoptInt(int(fd), o.level, o.opt); err != nil || got != o.want {
					t.Errorf("%s: %s %d, %v; want %d", when, o.name, got, err, o.want)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	check(a, "fresh", 1, 1, 15)
	if err := errors.Join(a.SetNoDelay(false), a.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second}), a.SetKeepAlive(false)); err != nil {
		t.Fatal(err)
	}
	check(a, "set", 0, 0, 77)
	if err := a.Handoff(t.Context(), dead); err == nil {
		t.Fatal("no error")
	}
	check(a, "after a failed handoff", 0, 0, 77)
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	check(accept(t, lr), "handed off", 0, 0, 77)
}

// TestAdopt: a connection that the application made itself is handed off.
func TestAdopt(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	ln, lr := r.replicas[glass].listen(), r.replicas[reich].listen()
	server, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	out, err := net.Dial("tcp6", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	a, err := ln.Adopt(out.(*net.TCPConn), []byte("made here"))
	if err != nil {
		t.Fatal(err)
	}
	send(t, a, "one")
	expect(t, in, "one")
	if _, err := ln.Adopt(out.(*net.TCPConn), nil); err == nil {
		t.Error("adopted twice")
	}
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	b := accept(t, lr)
	if string(b.State()) != "made here" {
		t.Errorf("state %q", b.State())
	}
	send(t, b, "two")
	expect(t, in, "two")

	four, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	c, err := net.Dial("tcp4", four.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := ln.Adopt(c.(*net.TCPConn), nil); err == nil || !strings.Contains(err.Error(), "not TCP over IPv6") {
		t.Errorf("IPv4 adopted: %v", err)
	}
}
