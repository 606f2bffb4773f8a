package vanycast_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast"
)

// TestHTTP: net/http serves on a Listener unchanged: several requests of one
// connection, a body each way, many clients.
func TestHTTP(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.Copy(w, r.Body)
			return
		}
		http.ServeFile(w, r, "doc.go")
	})}
	served := make(chan error)
	ln := p.listen()
	go func() { served <- srv.Serve(ln) }()
	base := "http://" + ln.Addr().String()
	body := bytes.Repeat([]byte("vanycast"), 1<<17)
	for range 3 {
		c := &http.Client{Transport: new(http.Transport)}
		for range 3 {
			resp, err := c.Get(base)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Contains(b, []byte("package vanycast")) {
				t.Errorf("GET: %d bytes, %v", len(b), err)
			}
			resp, err = c.Post(base, "", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(b, body) {
				t.Errorf("POST: %d bytes, %v", len(b), err)
			}
		}
		c.CloseIdleConnections()
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	eventually(t, "all clients are closed", func() bool { return len(p.Clients()) == 0 })
}

// A server that hands an HTTP client off between two requests. What net/http has
// read of the next request travels as the state; begun gives it to the server
// over there first.

// begun is a Listener whose clients begin with their state.
type begun struct{ *vanycast.Listener }

func (l begun) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return &begunConn{c, io.MultiReader(bytes.NewReader(c.State()), c)}, nil
}

type begunConn struct {
	*vanycast.Conn
	r io.Reader
}

func (c *begunConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// mover answers with its name; /move hands the client off after the answer.
func mover(name string, to netip.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/name", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })
	mux.HandleFunc("/move", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
		rw.Flush()
		c := conn.(*begunConn)
		ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
		c.SetState(bytes.Clone(ahead))
		if err := c.HandoffAsync(to); err != nil { // if it fails later, it comes through Accept again
			c.Close()
		}
	})
	return mux
}

// TestHTTPHandoff: requests of one connection, pipelined ones too, are answered
// by two replicas in turn, and by the old one where the other is dead.
func TestHTTPHandoff(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	go http.Serve(begun{g.listen()}, mover("glass", reich))
	lr := re.listen()
	go http.Serve(begun{lr}, mover("reich", dead))
	client := g.dial()
	in := bufio.NewReader(client)
	request := func(path string) { fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path) }
	answer := func(want string) {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
			t.Errorf("answer %q, %v; want %q", b, err, want)
		}
	}
	request("/name")
	answer("glass")
	request("/move")
	answer("glass")
	request("/name")
	answer("reich")
	request("/move") // fails: dead is dead
	answer("reich")
	request("/name")
	answer("reich")

	second := g.dial() // while the first lives at reich
	client, in = second, bufio.NewReader(second)
	request("/move")
	request("/name")
	request("/name")
	answer("glass")
	answer("reich")
	answer("reich")
}

// TestHTTPClose: a server that is closed hard leaves no client.
func TestHTTPClose(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	entered := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}
	go srv.Serve(ln)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ln.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := new(http.Transport).RoundTrip(req)
		failed <- err
	}()
	<-entered
	srv.Close()
	if err := <-failed; err == nil || ctx.Err() != nil {
		t.Errorf("request: %v, %v", err, ctx.Err())
	}
	eventually(t, "the client is closed", func() bool { return len(p.Clients()) == 0 })
}
