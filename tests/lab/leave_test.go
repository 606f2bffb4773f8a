package lab

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A laboratory that was left stays up after its maker, and goes when taken
// down.
func TestLeaveAndTakeDown(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	var prefix string
	var p *Process
	err := Run("left", slog.New(slog.DiscardHandler), func(tb TB) error {
		// Named by process id all the same, so that a failure is swept up.
		n := New(tb, WithDir(t.TempDir()))
		prefix = n.Prefix()
		var err error
		if p, err = n.Host("h").Start([]string{"sleep", "1000"}, Leave()); err != nil {
			return err
		}
		return n.Leave(state)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := namespacesOf(t, prefix); len(got) != 1 {
		t.Errorf("namespaces after Leave: %v, want one", got)
	}
	if err := syscall.Kill(p.Pid(), 0); err != nil {
		t.Errorf("process %d after Leave: %v", p.Pid(), err)
	}
	if err := TakeDown(state); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = p.Wait(ctx) // ended by a signal that p did not send
	if got := namespacesOf(t, prefix); len(got) != 0 {
		t.Errorf("namespaces after TakeDown: %v", got)
	}
	if err := TakeDown(state); !errors.Is(err, ErrNotUp) {
		t.Errorf("TakeDown() again = %v, want ErrNotUp", err)
	}
}

// A trace shows what a daemon leaves, and does not change by itself.
func TestTrace(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n := Thesis(t)
	trace := func() string {
		t.Helper()
		s, err := n.Glass.Trace(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := trace()
	if _, err := n.Glass.Output(ctx, "ping", "-6", "-c1", HomeAgent); err != nil {
		t.Fatal(err)
	}
	if after := trace(); after != before {
		t.Errorf("a ping changed the trace from\n%s\nto\n%s", before, after)
	}
	for _, change := range [][]string{
		{"-6", "addr", "add", ContactAddress + "/128", "dev", "lo", "preferred_lft", "0"},
		{"-6", "rule", "add", "from", ContactAddress, "lookup", "77"},
		{"-6", "route", "add", "default", "dev", "eth0", "table", "77"},
	} {
		before := trace()
		n.Glass.IP(change...)
		if trace() == before {
			t.Errorf("ip %s left no trace", strings.Join(change, " "))
		}
	}
	n.Glass.Sysctl("net.ipv6.conf.eth0.forwarding", "1")
	if s := trace(); !strings.Contains(s, "eth0/forwarding = 1") {
		t.Error("a sysctl left no trace")
	}
}
