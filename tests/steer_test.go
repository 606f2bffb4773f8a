package tests

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// ready waits until the contact node has heard of each of these replicas that it takes
// new connections, and of no other.
func (s *site) ready(ctx context.Context, t *testing.T, contactNode string, hosts ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range hosts {
		site, _ := lab.SiteOf(name)
		want[site.Addr.String()] = true
	}
	must(t, lab.WaitFor(ctx, func() error {
		var replicas []wire.Replica
		if err := s.daemons[contactNode].Get(ctx, wire.PathReplicas, &replicas); err != nil {
			return err
		}
		for _, r := range replicas {
			if ready := r.Standing == "listening, steered"; !r.Self && ready != want[r.Address.String()] {
				return fmt.Errorf("%v: %q", r.Address, r.Standing)
			}
		}
		return nil
	}))
}

// noHandoff fails the test if a replica has handed a client over, or tried to.
func (s *site) noHandoff(ctx context.Context, t *testing.T, hosts ...string) {
	t.Helper()
	for _, name := range hosts {
		records, err := s.daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			t.Errorf("handoff at %s: %+v", name, r)
		}
	}
}

// A connection is established by the replica that the contact node chose at its SYN:
// nothing is handed over, and not a segment is sent again. From there it goes on as
// any other.
func TestBornWhereServed(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t, steered())
	all := []string{"glass", "reich", "adams"}
	s.echoAt(ctx, t, all...)
	s.ready(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "legacy", "glass", "reich", "adams", "home")
	resent := s.resent(ctx, t, "legacy")
	const sessions = 12
	var last *cluster.Telnet
	served := map[string]int{}
	for i := range sessions {
		session := s.telnetFrom(ctx, t, s.Legacy)
		must(t, session.Say(ctx, "born here"))
		served[session.Served]++
		if last = session; i < sessions-1 {
			must(t, session.Quit(ctx))
		}
	}
	s.noHandoff(ctx, t, all...)
	if served["glass"] != 0 || len(served) != 2 {
		t.Errorf("served by %v", served)
	}
	if n := s.counter(ctx, t, "glass", "relay.steered"); n != sessions {
		t.Errorf("%d connections were steered, want %d", n, sessions)
	}
	history := "born here/"
	for range 3 {
		must(t, last.Say(ctx, "and on H"))
		history += "and on /"
	}
	must(t, last.All(ctx, "!", history))
	must(t, last.Quit(ctx))
	resent()
	judge()
}

// A client with Mobile IPv6 is bound to the replica that its SYN was sent to: its
// packets go straight, its other connections come there, and it can be handed on.
func TestBornClientIsBound(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t, steered())
	all := []string{"glass", "reich", "adams"}
	s.echoAt(ctx, t, all...)
	s.ready(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams", "home")
	first := s.telnet(ctx, t)
	must(t, first.Say(ctx, "born here"))
	must(t, s.boundTo(ctx, "modern", first.Served))
	s.noHandoff(ctx, t, all...)

	passed := s.counter(ctx, t, "glass", "dataplane.relay_to_peer")
	must(t, first.Say(ctx, "straight"))
	if n := s.counter(ctx, t, "glass", "dataplane.relay_to_peer"); n != passed {
		t.Errorf("%d packets more passed the contact node", n-passed)
	}
	second := s.telnet(ctx, t)
	if second.Served != first.Served {
		t.Errorf("the second connection is served by %s, the first by %s", second.Served, first.Served)
	}
	must(t, second.Say(ctx, "me too"))
	must(t, second.Quit(ctx))
	must(t, first.Say(ctx, "and on H"))
	must(t, first.Say(ctx, "and on H"))
	must(t, first.All(ctx, "!", "born here/straight/and on /and on /"))
	must(t, first.Quit(ctx))
	judge()
}

// boundTo waits until a client's host has the contact address bound to a replica.
func (s *site) boundTo(ctx context.Context, client, replica string) error {
	site, _ := lab.SiteOf(replica)
	return lab.WaitFor(ctx, func() error {
		var bindings []wire.Binding
		if err := s.daemons[client].Get(ctx, wire.PathBindings, &bindings); err != nil {
			return err
		}
		for _, b := range bindings {
			if b.CareOf == site.Addr {
				return nil
			}
		}
		return errors.New(client + " is not bound to " + replica)
	})
}

// New connections go to replicas that take them: not to one without application, not
// to a dead one, also if the SYN is on its way already.
func TestSteerPassesOver(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t, steered())
	servers := s.echoAt(ctx, t, "glass", "reich", "adams")
	s.ready(ctx, t, "glass", "reich", "adams")
	must(t, servers["reich"].Stop())
	s.ready(ctx, t, "glass", "adams")
	for range 4 {
		session := s.telnetFrom(ctx, t, s.Legacy)
		if session.Served != "adams" {
			t.Errorf("served by %s", session.Served)
		}
		must(t, session.Quit(ctx))
	}
	s.noHandoff(ctx, t, "glass", "adams")
	s.echoAt(ctx, t, "reich")
	s.ready(ctx, t, "glass", "reich", "adams")
	s.Adams.IP("link", "set", "eth0", "down") // a dead host: nobody says so
	for range 6 {
		session := s.telnetFrom(ctx, t, s.Legacy)
		if session.Served == "adams" {
			t.Fatal("served by a dead replica")
		}
		must(t, session.Quit(ctx))
	}
	s.ready(ctx, t, "glass", "reich")
}

// steered has the contact node decide at the SYN.
func steered() cluster.Option {
	service := cluster.Echo()
	service.Extra = []string{"steer = true"}
	return cluster.WithServices(service)
}

// Without steering a client is accepted by the contact node and handed over.
func TestNotSteered(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.telnetFrom(ctx, t, s.Legacy)
	must(t, session.Say(ctx, "handed over"))
	must(t, session.Quit(ctx))
	if n := s.counter(ctx, t, "glass", "relay.steered") + s.counter(ctx, t, "glass", "dataplane.steered"); n != 0 {
		t.Errorf("%d were steered", n)
	}
	records, err := s.daemons["glass"].Handoffs(ctx)
	must(t, err)
	if len(records) == 0 {
		t.Error("no handoff")
	}
}
