package tests

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// binaries is the folder of the programs under test, made once.
var binaries string

// programs builds what the tests run before it runs them.
type programs struct{ m *testing.M }

func (p programs) Run() int {
	var err error
	if binaries, err = os.MkdirTemp("", "vanycast-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	if err := cluster.Build(context.Background(), binaries, "./cmd/...", "./examples/...", "./tests/servers/..."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return p.m.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(programs{m}) }

// testContext bounds a test; beyond it something hangs.
func testContext(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("the test took longer than %v", limit))
	t.Cleanup(cancel)
	return ctx
}

// site is a running installation.
type site struct {
	*cluster.Cluster
	daemons map[string]*cluster.Daemon
}

// bringUp makes a laboratory with every daemon running, on links that tshark
// can judge.
func bringUp(ctx context.Context, t *testing.T, opts ...cluster.Option) *site {
	t.Helper()
	c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Cluster: c}
	if s.daemons, err = c.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// echoAt starts echo servers on these hosts and waits until all serve.
func (s *site) echoAt(ctx context.Context, t *testing.T, hosts ...string) map[string]*lab.Process {
	t.Helper()
	servers := map[string]*lab.Process{}
	for _, name := range hosts {
		p, err := s.StartEcho(name, 4)
		if err != nil {
			t.Fatal(err)
		}
		servers[name] = p
	}
	if err := s.WaitServing(ctx, s.daemons, "echo", hosts...); err != nil {
		t.Fatal(err)
	}
	return servers
}

// telnet opens a session from modern and waits for the greeting.
func (s *site) telnet(ctx context.Context, t *testing.T) *cluster.Telnet {
	t.Helper()
	return s.telnetFrom(ctx, t, s.Modern)
}

// telnetFrom does it from any host.
func (s *site) telnetFrom(ctx context.Context, t *testing.T, h *lab.Host) *cluster.Telnet {
	t.Helper()
	session, err := cluster.DialTelnet(ctx, h, io.Discard)
	if session != nil {
		t.Cleanup(func() {
			_ = session.Close()
			if t.Failed() {
				t.Logf("--- telnet on %s\n%s", h.Name(), session.Text())
			}
		})
	}
	if err == nil {
		err = session.Greeted(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// capture watches a host's link at the router; the returned function ends it
// and fails the test if the link saw a reset, a malformed packet or a bad
// checksum.
func (s *site) capture(ctx context.Context, t *testing.T, hosts ...string) (judge func()) {
	t.Helper()
	return s.captureBut(ctx, t, "", hosts...)
}

// captureBut is capture where resets that a filter finds are nothing to complain of.
func (s *site) captureBut(ctx context.Context, t *testing.T, excused string, hosts ...string) (judge func()) {
	t.Helper()
	captures := map[string]*lab.Capture{}
	for _, name := range hosts {
		c, err := s.Router.Capture(name)
		if err != nil {
			t.Fatal(err)
		}
		c.Excuse(excused)
		captures[name] = c
	}
	return func() {
		t.Helper()
		for name, c := range captures {
			if err := c.Stop(); err != nil {
				t.Error(err)
				continue
			}
			problems, err := c.Problems(ctx)
			if err != nil {
				t.Error(err)
			}
			for i, p := range problems {
				if i == 20 {
					t.Errorf("%s: and %d more", name, len(problems)-i)
					break
				}
				t.Errorf("on the link of %s: %s", name, p)
			}
		}
	}
}

// must fails the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
