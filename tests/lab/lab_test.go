package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func namespacesOf(t *testing.T, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			found = append(found, e.Name())
		}
	}
	return found
}

// Every host reaches every other through the router, and nothing is left
// when the laboratory is closed.
func TestThesisIsConnectedAndGoesAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n := Thesis(t)
	for _, from := range Sites() {
		for _, to := range Sites() {
			if _, err := n.Lookup(from.Name).Output(ctx, "ping", "-6", "-c1", "-W2", "-q", to.Addr.String()); err != nil {
				t.Error(err)
			}
		}
	}
	p, err := n.Glass.Start([]string{"sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	default:
		t.Errorf("process %d still runs after Close", p.Pid())
	}
	if left := namespacesOf(t, n.Prefix()); len(left) > 0 {
		t.Errorf("namespaces left: %v", left)
	}
}

// A process that nobody knows of, but that runs in our namespace, is killed
// and complained about.
func TestCloseFindsStrayProcesses(t *testing.T) {
	var err error
	e := Run("stray", slog.New(slog.DiscardHandler), func(tb TB) error {
		n := New(tb)
		h := n.Host("h")
		cmd := h.Command(context.Background(), "sleep", "1000")
		if e := cmd.Start(); e != nil {
			return e
		}
		go func() { _ = cmd.Wait() }() // else it stays a zombie of ours
		if e := WaitFor(context.Background(), func() error {
			// ip(8) becomes sleep.
			if comm, e := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)); e != nil || string(comm) != "sleep\n" {
				return fmt.Errorf("runs %q, %v", comm, e)
			}
			return nil
		}); e != nil {
			return e
		}
		err = n.Close()
		return nil
	})
	if e != nil {
		t.Fatal(e)
	}
	if err == nil || !strings.Contains(err.Error(), "sleep") {
		t.Errorf("Close() = %v, want a complaint about sleep", err)
	}
}

func TestOwnerOf(t *testing.T) {
	for _, c := range []struct {
		name string
		pid  int
		ours bool
	}{
		{"vc1234.3fa9-glass", 1234, true},
		{"vc-glass", 0, false},
		{"vc1234-glass", 0, false},
		{"vcx.3fa9-glass", 0, false},
		{"other1234.3fa9-glass", 0, false},
		{"vc0.3fa9-glass", 0, false},
	} {
		pid, ours := ownerOf(c.name)
		if ours != c.ours || ours && pid != c.pid {
			t.Errorf("ownerOf(%q) = %d, %v; want %d, %v", c.name, pid, ours, c.pid, c.ours)
		}
	}
}

// twoHosts are joined by a link, whose interface both call iface.
func twoHosts(t *testing.T, opts ...LinkOption) (a, b *Host, iface string) {
	t.Helper()
	n := New(t)
	a, b = n.Host("a"), n.Host("b")
	iface, _ = n.Link(a, b, opts...)
	a.Addr(iface, netip.MustParsePrefix("2001:db8::1/64"))
	b.Addr(iface, netip.MustParsePrefix("2001:db8::2/64"))
	return a, b, iface
}

// A socket made in Do belongs to the host; the thread comes back.
func TestDo(t *testing.T) {
	a, b, iface := twoHosts(t, MTU(1400))

	var ln net.Listener
	err := b.Do(func() (err error) {
		ln, err = net.Listen("tcp", "[2001:db8::2]:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var conn net.Conn
	err = a.Do(func() (err error) {
		if i, err := net.InterfaceByName(iface); err != nil || i.MTU != 1400 {
			t.Errorf("interface %s = %+v, %v; want MTU 1400", iface, i, err)
		}
		conn, err = net.Dial("tcp", "[2001:db8::2]:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := errors.New("mine")
	if err := a.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do() = %v, want %v", err, want)
	}
	if err := a.Do(func() error { _, err := net.InterfaceByName("no-such"); return err }); err == nil {
		t.Error("Do() = nil for an interface that is not there")
	}
	if _, err := net.Dial("tcp", "[2001:db8::2]:80"); err == nil {
		t.Error("the laboratory's host can be reached from outside")
	}
}

// On a Wire link tshark sees every segment with a good checksum, and it does
// notice a reset.
func TestCaptureOnWire(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	a, b, iface := twoHosts(t, Wire())
	c, err := b.Capture(iface)
	if err != nil {
		t.Fatal(err)
	}
	const size = 200_000
	transfer(t, a, b, size)
	if err := a.Do(func() error { // nobody listens there: a reset
		if conn, err := net.Dial("tcp", "[2001:db8::2]:81"); err == nil {
			conn.Close()
			return errors.New("someone listens on port 81")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	segments, err := c.Count(ctx, "tcp.dstport == 80 && tcp.len > 0")
	if err != nil || segments < size/1440 {
		t.Errorf("%d segments with data, %v; want at least %d", segments, err, size/1440)
	}
	if large, err := c.Count(ctx, "frame.len > 1514"); err != nil || large > 0 {
		t.Errorf("%d frames larger than the link allows, %v", large, err)
	}
	problems, err := c.Problems(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || !strings.Contains(problems[0], "RST") {
		t.Errorf("problems: %q, want the one reset", problems)
	}
	// All in one reading says the same.
	counts, judged, err := c.Judge(ctx, "tcp.dstport == 80 && tcp.len > 0", "frame.len > 1514", FilterReset)
	if err != nil || !slices.Equal(counts, []int{segments, 0, 1}) || !slices.Equal(judged, problems) {
		t.Errorf("judged: %v frames, problems %q, %v; want %v and %q", counts, judged, err, []int{segments, 0, 1}, problems)
	}
}

// A capture of nothing can be judged.
func TestJudgeEmptyCapture(t *testing.T) {
	_, b, iface := twoHosts(t)
	c, err := b.Capture(iface, Filter("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	counts, problems, err := c.Judge(t.Context(), "tcp", "udp")
	if err != nil || !slices.Equal(counts, []int{0, 0}) || len(problems) > 0 {
		t.Errorf("%v frames, problems %q, %v", counts, problems, err)
	}
}

// transfer sends size bytes from a to b over TCP, port 80.
func transfer(t *testing.T, a, b *Host, size int) {
	t.Helper()
	var ln net.Listener
	if err := b.Do(func() (err error) { ln, err = net.Listen("tcp", "[2001:db8::2]:80"); return err }); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var conn net.Conn
	if err := a.Do(func() (err error) { conn, err = net.Dial("tcp", ln.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		_, _ = conn.Write(bytes.Repeat([]byte("x"), size))
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.Copy(io.Discard, server); err != nil || got != int64(size) {
		t.Fatalf("%d bytes arrived, %v; want %d", got, err, size)
	}
}

func TestProcess(t *testing.T) {
	n := New(t)
	h := n.Host("h")
	p, err := h.Start([]string{"sh", "-c", "echo hello; id -u; exec sleep 1000"}, As(65534, 65534))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := WaitFor(ctx, func() error {
		if p.Tail(2) != "hello\n65534" {
			return errors.New("log: " + p.Tail(2))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil { // again
		t.Error(err)
	}
	failing, err := h.Start([]string{"false"})
	if err != nil {
		t.Fatal(err)
	}
	if err := failing.Wait(ctx); err == nil {
		t.Error("Wait() = nil for false(1)")
	}
	if err := failing.Stop(); err == nil {
		t.Error("Stop() = nil for a process that had failed")
	}
}

func TestRunReportsFatal(t *testing.T) {
	cleaned := false
	err := Run("x", slog.New(slog.DiscardHandler), func(tb TB) error {
		tb.Cleanup(func() { cleaned = true })
		tb.Fatalf("no %s", "luck")
		return nil
	})
	if err == nil || err.Error() != "no luck" || !cleaned {
		t.Errorf("Run() = %v, cleaned %v; want no luck, true", err, cleaned)
	}
}
