package tests

import (
	"context"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
)

// A client with Mobile IPv6 has one binding for all that it has with the contact
// address. One of its connections moves all the same: the replica that the client
// is bound to relays it, and the others stay where they are.
func TestSeveralConnectionsMoveOneByOne(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern")
	resent := s.resent(ctx, t, "modern")
	var sessions []*cluster.Telnet
	var history [3]string
	for range history {
		sessions = append(sessions, s.telnetFrom(ctx, t, s.Modern))
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
	for i, session := range sessions {
		must(t, session.All(ctx, "!", history[i]))
		must(t, session.Quit(ctx))
	}
	resent()
	judge()
	s.noFailedHandoffs(ctx, t)
}

// noFailedHandoffs fails the test for each handoff that did not come about.
func (s *site) noFailedHandoffs(ctx context.Context, t *testing.T) {
	t.Helper()
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
		}
	}
}
