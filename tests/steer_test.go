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
	must(t, s.WaitSteering(ctx, s.daemons[contactNode], hosts...))
}

// straightKnown waits until the contact node has heard that what it steered is bound, a
// hundredth of a second after that: until then it can be handed over to it, but not seamlessly.
func (s *site) straightKnown(ctx context.Context, t *testing.T, contactNode string) {
	t.Helper()
	const late = 20 * time.Second // more than the contact node then relays it for, less than before
	must(t, lab.WaitFor(ctx, func() error {
		var bindings []wire.Binding
		if err := s.daemons[contactNode].Get(ctx, wire.PathBindings, &bindings); err != nil {
			return err
		}
		for _, b := range bindings {
			if b.Role == "relay" && time.Until(b.Expires) > late {
				return fmt.Errorf("relayed as before: %+v", b)
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
	s := bringUp(ctx, t)
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
	s := bringUp(ctx, t)
	all := []string{"glass", "reich", "adams"}
	s.echoAt(ctx, t, all...)
	s.ready(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams", "home")
	resent := s.resent(ctx, t, "modern")
	first := s.telnet(ctx, t)
	must(t, first.Say(ctx, "born here"))
	must(t, s.boundTo(ctx, "modern", first.Served))
	s.noHandoff(ctx, t, all...)
	s.straightKnown(ctx, t, "glass")

	passed := s.counter(ctx, t, "glass", "dataplane.relay_to_peer")
	must(t, first.Say(ctx, "straight"))
	if n := s.counter(ctx, t, "glass", "dataplane.relay_to_peer"); n != passed {
		t.Errorf("%d packets more passed the contact node", n-passed)
	}
	must(t, first.Say(ctx, "and on H"))
	must(t, first.Say(ctx, "and on H"))
	must(t, first.All(ctx, "!", "born here/straight/and on /and on /"))
	for _, name := range all {
		records, err := s.daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			if r.Mode != "seamless" || r.Error != "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	second := s.telnet(ctx, t) // after that: with two a client is handed over in another way
	if second.Served != first.Served {
		t.Errorf("the second connection is served by %s, the first by %s", second.Served, first.Served)
	}
	must(t, second.Say(ctx, "me too"))
	must(t, second.Quit(ctx))
	must(t, first.Quit(ctx))
	resent()
	judge()
}

// With our own home agent a connection that was steered leaves the contact node out as
// soon as that knows that it is there.
func TestBornGoesStraight(t *testing.T) {
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t, cluster.WithFlowBindings())
	all := []string{"glass", "reich", "adams"}
	s.echoAt(ctx, t, all...)
	s.ready(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, append(all, "legacy", "home")...)
	session := s.telnetFrom(ctx, t, s.Legacy)
	s.bound(ctx, t, session.Served, 1)
	s.straight(ctx, t, session, "straight from its birth")
	s.noHandoff(ctx, t, all...)
	must(t, session.Say(ctx, "and on H"))
	must(t, session.All(ctx, "!", "straight from its birth/and on /"))
	must(t, session.Quit(ctx))
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
	s := bringUp(ctx, t)
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

// Switched off, a client is accepted by the contact node and handed over.
func TestNotSteered(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) {
			ctx := testContext(t, 90*time.Second)
			service := cluster.Echo()
			service.Extra = []string{"steer = false"}
			s := bringUp(ctx, t, cluster.WithServices(service))
			s.echoAt(ctx, t, lab.Replicas()...)
			judge := s.capture(ctx, t, client)
			session := s.telnetFrom(ctx, t, s.Lookup(client))
			must(t, session.Say(ctx, "handed over"))
			must(t, session.Say(ctx, "and on H"))
			must(t, session.All(ctx, "!", "handed over/and on /"))
			must(t, session.Quit(ctx))
			judge()
			if n := s.counter(ctx, t, "glass", "relay.steered") + s.counter(ctx, t, "glass", "dataplane.steered"); n != 0 {
				t.Errorf("%d were steered", n)
			}
			records, err := s.daemons["glass"].Handoffs(ctx)
			must(t, err)
			if len(records) == 0 {
				t.Error("no handoff")
			}
		})
	}
}
