package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// A client without Mobile IPv6 moves as any other, by relaying: the contact node
// sends its packets on to whoever serves it. What it is answered goes back the
// same way, or straight to it.
func TestLegacyClientMoves(t *testing.T) {
	for _, path := range []string{"tunnel", "direct"} {
		t.Run(path, func(t *testing.T) {
			ctx := testContext(t, 90*time.Second)
			service := cluster.Echo()
			service.Extra = []string{`return_path = "` + path + `"`}
			s := bringUp(ctx, t, cluster.WithServices(service))
			s.echoAt(ctx, t, "glass", "reich", "adams")
			judge := s.capture(ctx, t, "legacy", "glass", "reich", "adams", "home")
			resent := s.resent(ctx, t, "legacy")
			session := s.telnetFrom(ctx, t, s.Legacy)
			must(t, session.Say(ctx, "Please echo my data"))
			must(t, session.Say(ctx, "HiHaHoHeHuHa"))
			must(t, session.Say(ctx, "half a liHne"))
			history := "Please echo my data/iaoeua/half a line/"
			// The policy is random: on until each replica had the client.
			const most = 60
			for served, i := map[string]bool{}, 0; len(served) < 3 && i < most; i++ {
				must(t, session.Say(ctx, "moreH"))
				history += "more/"
				served[session.Served] = true
			}
			must(t, session.All(ctx, "!all", history))
			must(t, session.Quit(ctx))
			resent()
			judge()
			replicas := map[string]bool{}
			for name, d := range s.daemons {
				if name == "ha" || name == "modern" {
					continue
				}
				records, err := d.Handoffs(ctx)
				must(t, err)
				for _, r := range records {
					if r.Error != "" {
						t.Errorf("%s: %+v", name, r)
					}
					replicas[name] = true
				}
			}
			if len(replicas) != 3 {
				t.Errorf("only these replicas saw the client: %v", replicas)
			}
		})
	}
}

// resent watches the link of a client's host; the returned function fails the test
// if a segment was sent again.
func (s *site) resent(ctx context.Context, t *testing.T, host string) func() {
	t.Helper()
	s.noProbes(host)
	c, err := s.Router.Capture(host)
	must(t, err)
	return func() {
		t.Helper()
		must(t, c.Stop())
		frames, err := c.Frames(ctx, "tcp.analysis.retransmission")
		must(t, err)
		for _, f := range frames {
			t.Errorf("sent again: %s", f)
		}
	}
}

// noProbes switches tail loss probes off, at the replicas and a client's host: they ask,
// after two round trips, whether the last segment was lost. Here that is no longer than
// a handoff's gap, or than a busy machine takes for an answer. Nothing was lost.
func (s *site) noProbes(client string) {
	for _, name := range append(lab.Replicas(), client) {
		s.Lookup(name).Sysctl("net.ipv4.tcp_early_retrans", "0")
	}
}

// takeTurns opens three sessions from a client's host and has them handed over, each but
// one in each round; history is what was typed in each.
func (s *site) takeTurns(ctx context.Context, t *testing.T, client *lab.Host) (sessions []*cluster.Telnet, history [3]string) {
	t.Helper()
	for range history {
		sessions = append(sessions, s.telnetFrom(ctx, t, client))
	}
	for round := range 4 {
		for i, session := range sessions {
			if round == i { // this one stays, in this round
				must(t, session.Say(ctx, "stay"))
				history[i] += "stay/"
				continue
			}
			must(t, session.Say(ctx, "Hop"))
			history[i] += "op/"
		}
	}
	return sessions, history
}

// Its connections are each their own: they are served by different replicas, and
// handing one over leaves the others alone.
func TestLegacyClientWithSeveralConnections(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "legacy")
	sessions, history := s.takeTurns(ctx, t, s.Legacy)
	for i, session := range sessions {
		must(t, session.All(ctx, "!", history[i]))
		must(t, session.Quit(ctx))
	}
	judge()
}

// served opens sessions from legacy until one is served by that replica; the others
// are ended.
func (s *site) served(ctx context.Context, t *testing.T, by string) *cluster.Telnet {
	t.Helper()
	session := s.telnetFrom(ctx, t, s.Legacy)
	for range 40 {
		if session.Served == by {
			return session
		}
		must(t, session.Say(ctx, "H"))
	}
	t.Fatalf("never served by %s", by)
	return nil
}

// The contact node's daemon is killed and comes back: what it relayed goes on, for
// it asks the others before it takes the contact address again.
func TestLegacyClientSurvivesContactNodeRestart(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	servers := s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "legacy")
	session := s.served(ctx, t, "adams")
	must(t, session.Say(ctx, "before"))
	must(t, s.daemons["glass"].Kill9())
	_ = servers["glass"].Stop() // it may have ended with its daemon
	must(t, session.Send("meanwhile"))
	var err error
	s.daemons["glass"], err = s.Start(ctx, "glass")
	must(t, err)
	must(t, session.Echoed(ctx, "meanwhile"))
	s.echoAt(ctx, t, "glass")
	for range 3 {
		must(t, session.Say(ctx, "move on H"))
	}
	must(t, session.Quit(ctx))
	judge()
}

// A better contact node comes back and takes over: the clients that the other
// relayed, and those that it served itself, are relayed by the new one.
func TestLegacyClientsSurviveContactNodeMove(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	service := cluster.Echo()
	service.ContactNodes, service.Extra = []string{"reich", "glass"}, []string{returnSoon}
	s := bringUp(ctx, t, cluster.WithServices(service))
	must(t, s.contactNode(ctx, "reich")) // glass was first, and yields
	must(t, s.daemons["reich"].Stop())
	delete(s.daemons, "reich")
	must(t, s.contactNode(ctx, "glass"))
	s.echoAt(ctx, t, "glass", "adams")
	judge := s.capture(ctx, t, "legacy")
	away, local := s.served(ctx, t, "adams"), s.served(ctx, t, "glass")
	must(t, away.Say(ctx, "away before"))
	must(t, local.Say(ctx, "local before"))

	var err error
	s.daemons["reich"], err = s.Start(ctx, "reich")
	must(t, err)
	must(t, s.contactNode(ctx, "reich"))
	must(t, away.Say(ctx, "away after"))
	must(t, local.Say(ctx, "local after"))
	s.echoAt(ctx, t, "reich")
	for range 4 {
		must(t, away.Say(ctx, "H"))
		must(t, local.Say(ctx, "H"))
	}
	must(t, away.Quit(ctx))
	must(t, local.Quit(ctx))
	judge()
}

// contactNode waits until a replica holds the contact address; any, if none is named.
func (s *site) contactNode(ctx context.Context, host string) error {
	return lab.WaitFor(ctx, func() error {
		for _, name := range lab.Replicas() {
			d := s.daemons[name]
			if d == nil || host != "" && name != host {
				continue
			}
			status, err := d.Status(ctx)
			if err != nil {
				return err
			}
			if status.Services[0].ContactNode {
				return nil
			}
		}
		return fmt.Errorf("no replica (%s) is contact node", host)
	})
}
