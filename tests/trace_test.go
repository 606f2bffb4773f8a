package tests

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// traced are the hosts that run a daemon, in the order in which they are
// stopped: the replicas take back what they told the client and the home agent.
var traced = []string{"glass", "reich", "adams", "modern", "ha"}

func traces(ctx context.Context, t *testing.T, c *cluster.Cluster) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range traced {
		trace, err := c.Lookup(name).Trace(ctx)
		must(t, err)
		all[name] = strings.Split(trace, "\n")
	}
	return all
}

// useIt makes everything that a daemon puts on a host be there: registration,
// tunnel, bindings, routes.
func (s *site) useIt(ctx context.Context, t *testing.T) *cluster.Telnet {
	t.Helper()
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "HHello"))
	return session
}

// SIGTERM leaves no trace of a daemon on its host, even while clients are
// served; these see an orderly end, and no other host remembers.
func TestSIGTERMLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries)
	must(t, err)
	before := traces(ctx, t, c)
	s := &site{Cluster: c}
	s.daemons, err = c.StartAll(ctx)
	must(t, err)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.useIt(ctx, t)
	if cmp.Equal(before, traces(ctx, t, c)) {
		t.Fatal("the daemons changed nothing: the test shows nothing")
	}
	// Who has something to tell a replica that has left meets a closed port.
	judge := s.captureBut(ctx, t, fmt.Sprintf("tcp.srcport == %d", cluster.PeerPort), "modern", "glass", "reich", "adams", "home")
	for _, name := range traced {
		if name == "modern" { // the replicas have ended
			must(t, session.Ended(ctx))
			s.forgotten(ctx, t, "modern", "ha")
		}
		must(t, s.daemons[name].Stop())
	}
	judge()
	if diff := cmp.Diff(before, traces(ctx, t, c)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// forgotten wants hosts to have no binding any more.
func (s *site) forgotten(ctx context.Context, t *testing.T, hosts ...string) {
	t.Helper()
	for _, name := range hosts {
		var bindings []wire.Binding
		must(t, s.daemons[name].Get(ctx, wire.PathBindings, &bindings))
		if len(bindings) > 0 {
			t.Errorf("%s still has %+v", name, bindings)
		}
	}
}

// What kill -9 leaves behind is taken away by the next daemon, and nothing of
// it is left when that ends in order.
func TestKill9ThenRestartLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 180*time.Second)
	c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries)
	must(t, err)
	before := traces(ctx, t, c)
	s := &site{Cluster: c}
	s.daemons, err = c.StartAll(ctx)
	must(t, err)
	servers := s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.useIt(ctx, t)
	for _, name := range traced {
		must(t, s.daemons[name].Kill9())
	}
	for _, p := range servers {
		_ = p.Stop() // an application without its daemon may have ended by itself
	}
	must(t, session.Close())

	// The second life serves as the first did.
	s.daemons, err = c.StartAll(ctx)
	must(t, err)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	must(t, s.useIt(ctx, t).Quit(ctx))
	for _, name := range traced {
		must(t, s.daemons[name].Stop())
	}
	if diff := cmp.Diff(before, traces(ctx, t, c)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}
