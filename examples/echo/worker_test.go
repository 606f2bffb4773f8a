package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast"
)

// fakeClient is one end of a TCP connection with what vanycast adds to it.
type fakeClient struct {
	*net.TCPConn
	state  []byte
	given  chan<- *fakeClient // where a handoff takes it to
	refuse error              // a handoff's immediate answer
	failed error              // what it is back from
	before bool
	closed bool
}

func (c *fakeClient) State() []byte     { return c.state }
func (c *fakeClient) SetState(b []byte) { c.state = b }
func (c *fakeClient) HandedOff() bool   { return c.before }
func (c *fakeClient) HandoffErr() error { return c.failed }

// Close ends the connection in order, as the daemon does it: what the client
// sent beyond the 'Q' does not make a reset of it.
func (c *fakeClient) Close() error {
	c.closed = true
	c.CloseWrite()
	io.Copy(io.Discard, c.TCPConn)
	return c.TCPConn.Close()
}

func (c *fakeClient) HandoffAsync(target netip.Addr) error {
	if target.IsValid() {
		return errors.New("the choice is the policy's")
	}
	if c.refuse != nil {
		return c.refuse
	}
	c.given <- &fakeClient{TCPConn: c.TCPConn, state: c.state, given: c.given, before: true}
	return nil
}

// pair is a TCP connection: the client's end and the server's.
func pair(t *testing.T) (theirs, ours *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); served.Close() })
	return conn.(*net.TCPConn), served.(*net.TCPConn)
}

// talk connects a client to workers, writes the input at once and reads until
// the server closes.
func talk(t *testing.T, input string, prepare func(*fakeClient), workers ...*worker) string {
	t.Helper()
	conn, served := pair(t)
	given := make(chan *fakeClient, 1)
	first := &fakeClient{TCPConn: served, given: given}
	if prepare != nil {
		prepare(first)
	}
	given <- first
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			c, w := <-given, workers[i%len(workers)]
			if err := w.serve(c); err != nil {
				t.Errorf("worker %d: %v", w.id, err)
			}
			if c.closed {
				return
			}
		}
	}()
	if _, err := io.WriteString(conn, input); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-done
	return string(out)
}

func testWorker(id int, name string) *worker {
	return &worker{id: id, name: name, log: log.New(io.Discard, "", 0)}
}

// Bytes that follow an 'H' in the same segment are the next worker's.
func TestWorkersPassTheClientOn(t *testing.T) {
	glass, reich := testWorker(1, "Glass"), testWorker(2, "Reich")
	got := talk(t, "HiHaHoQrest", nil, glass, reich)
	want := greeting(1, "Glass") + greeting(2, "Reich") + greeting(1, "Glass") + greeting(2, "Reich") + "iao\n\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestHandoffRefusedAtOnce(t *testing.T) {
	got := talk(t, "aHb\nQ", func(c *fakeClient) { c.refuse = fmt.Errorf("handoff: %w\nx", vanycast.ErrStateTooLong) }, testWorker(1, "Glass"))
	want := greeting(1, "Glass") + "\nSorry, I could not hand you over: handoff: vanycast: state too long x\n" + "\necho >ab\n\nab/\n\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestBackFromAFailedHandoff(t *testing.T) {
	got := talk(t, "b\nQ", func(c *fakeClient) {
		c.state = (&session{history: []byte("x/a"), line: 2}).marshal()
		c.failed, c.before = &vanycast.HandoffError{Code: "no-mobile-ipv6", Text: "handoff failed"}, true
	}, testWorker(3, "Glass"))
	want := "\nSorry, I could not hand you over: your host has no Mobile IPv6, so it cannot learn that its server moved\n" + greeting(3, "Glass") +
		"\necho >ab\n\nx/ab/\n\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestSilentWorker(t *testing.T) {
	w := testWorker(1, "Glass")
	w.silent = true
	if got := talk(t, "hello\nHQ", nil, w); got != "Q" {
		t.Errorf("got %q", got)
	}
}

func TestRunEndsWithTheListener(t *testing.T) {
	if err := testWorker(1, "x").run(func() (client, error) { return nil, net.ErrClosed }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestBadStateClosesTheClient(t *testing.T) {
	theirs, ours := pair(t)
	c := &fakeClient{TCPConn: ours, state: []byte("x")}
	theirs.CloseWrite()
	if err := testWorker(1, "x").serve(c); !errors.Is(err, errState) || !c.closed {
		t.Errorf("%v, closed %v", err, c.closed)
	}
	if n, err := io.Copy(io.Discard, theirs); n != 0 || err != nil {
		t.Errorf("client got %d bytes, %v", n, err)
	}
}

func TestLogNamesTheWorker(t *testing.T) {
	var sb strings.Builder
	w := testWorker(7, "x")
	w.log = log.New(&sb, "", 0)
	w.logf("%d%%", 5)
	if sb.String() != "Worker 7: 5%\n" {
		t.Errorf("%q", sb.String())
	}
}
