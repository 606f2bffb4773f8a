package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// bound waits until a replica has had that many flow bindings accepted.
func (s *site) bound(ctx context.Context, t *testing.T, host string, atLeast uint64) {
	t.Helper()
	must(t, lab.WaitFor(ctx, func() error {
		status, err := s.daemons[host].Status(ctx)
		if n := status.Counters["flows.flows_bound"]; err == nil && n < atLeast {
			err = fmt.Errorf("%s has had %d flow bindings accepted, not %d", host, n, atLeast)
		}
		return err
	}))
}

// flowsBound is how many a replica has had.
func (s *site) flowsBound(ctx context.Context, t *testing.T, host string) uint64 {
	t.Helper()
	status, err := s.daemons[host].Status(ctx)
	must(t, err)
	return status.Counters["flows.flows_bound"]
}

// during captures the links of hosts, as the router sees them, while f runs, and
// counts the frames with segments to or from the contact address.
func (s *site) during(ctx context.Context, t *testing.T, f func(), hosts ...string) map[string]int {
	t.Helper()
	captures := map[string]*lab.Capture{}
	for _, h := range hosts {
		c, err := s.Router.Capture(h)
		must(t, err)
		captures[h] = c
	}
	f()
	counts := map[string]int{}
	for h, c := range captures {
		must(t, c.Stop())
		n, err := c.Count(ctx, "tcp.port == 4000")
		must(t, err)
		counts[h] = n
	}
	return counts
}

// straight wants the session's segments to go between home agent and replica, not
// by the contact node.
func (s *site) straight(ctx context.Context, t *testing.T, session *cluster.Telnet, line string) {
	t.Helper()
	n := s.during(ctx, t, func() { must(t, session.Say(ctx, line)) }, "glass", session.Served)
	if n["glass"] != 0 || n[session.Served] == 0 {
		t.Errorf("%q: %d segments passed the contact node's link, %d that of %s", line, n["glass"], n[session.Served], session.Served)
	}
}

// With our own home agent the packets of a client without Mobile IPv6 go straight
// to the replica that serves it, also after it moved; what comes while it moves, and
// after the replica lost its flow binding, by the contact node.
func TestLegacyClientGoesStraight(t *testing.T) {
	for _, path := range []string{"tunnel", "direct"} {
		t.Run(path, func(t *testing.T) {
			ctx := testContext(t, 120*time.Second)
			service := cluster.Echo()
			service.Extra = []string{`return_path = "` + path + `"`}
			s := bringUp(ctx, t, cluster.WithServices(service), cluster.WithFlowBindings())
			s.echoAt(ctx, t, "glass", "reich", "adams")
			judge := s.capture(ctx, t, "legacy", "glass", "reich", "adams", "home")
			session := s.served(ctx, t, "adams")
			s.bound(ctx, t, "adams", 1)
			s.straight(ctx, t, session, "half a line")
			before := s.flowsBound(ctx, t, "reich")
			for session.Served != "reich" {
				must(t, session.Say(ctx, "H"))
			}
			s.bound(ctx, t, "reich", before+1)
			s.straight(ctx, t, session, "and on")
			must(t, session.Quit(ctx))
			judge()
		})
	}
}

// Switched off, and with a home agent that takes none, everything passes the
// contact node, as ever.
func TestLegacyClientIsRelayed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		extra   string
		options []cluster.Option
	}{
		{"off", `flow_bindings = "off"`, []cluster.Option{cluster.WithFlowBindings()}},
		{"stock home agent", `flow_bindings = "auto"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := testContext(t, 120*time.Second)
			service := cluster.Echo()
			service.Extra = []string{c.extra}
			s := bringUp(ctx, t, append(c.options, cluster.WithServices(service))...)
			s.echoAt(ctx, t, "glass", "reich", "adams")
			judge := s.capture(ctx, t, "legacy", "glass", "adams", "home")
			session := s.served(ctx, t, "adams")
			for range 3 {
				n := s.during(ctx, t, func() { must(t, session.Say(ctx, "hello")) }, "glass", "adams")
				if n["glass"] == 0 || n["adams"] == 0 {
					t.Errorf("segments on the links: %v", n)
				}
			}
			if n := s.flowsBound(ctx, t, "adams"); n != 0 {
				t.Errorf("%d flow bindings", n)
			}
			must(t, session.Quit(ctx))
			judge()
		})
	}
}

// The home agent forgets everything: contact node and replica register anew, and
// the client never notices more than silence.
func TestFlowBindingsAfterHomeAgentRestart(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 150*time.Second)
	service := cluster.Echo()
	service.Extra = []string{`home_lifetime = "16s"`} // refreshed after twelve
	s := bringUp(ctx, t, cluster.WithServices(service), cluster.WithFlowBindings())
	s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.served(ctx, t, "adams")
	s.bound(ctx, t, "adams", 1)
	s.straight(ctx, t, session, "before")
	before := s.flowsBound(ctx, t, "adams")
	must(t, s.daemons["ha"].Kill9())
	var err error
	s.daemons["ha"], err = s.Start(ctx, "ha")
	must(t, err)
	s.bound(ctx, t, "adams", before+1)
	must(t, session.Say(ctx, "again"))
	s.straight(ctx, t, session, "after")
	must(t, session.Quit(ctx))
}
