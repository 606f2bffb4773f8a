package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
)

// A telnet session moves with every H, history and half-typed line included.
func TestTelnetMovesBetweenReplicas(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams", "home")
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "Please echo my data"))
	must(t, session.Say(ctx, "HiHaHoHeHuHa"))
	must(t, session.All(ctx, "!all", "Please echo my data/iaoeua/"))
	must(t, session.Quit(ctx))
	judge()
}

// Where no other replica takes the client it stays alive where it is, with all
// it had, and is told so.
func TestHandoffRefused(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t, cluster.WithReplicas("glass", "reich"))
	servers := s.echoAt(ctx, t, "glass", "reich")
	judge := s.capture(ctx, t, "modern", "glass", "reich")
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "before H"))
	keeper := session.Served
	for name, p := range servers {
		if name != keeper {
			must(t, p.Stop()) // its daemon refuses from now on
		}
	}
	must(t, session.Send("afterH"))
	_, err := session.Answer(ctx, `Sorry, I could not hand you over`)
	must(t, err)
	must(t, session.Echoed(ctx, "after"))
	must(t, session.All(ctx, "!", "before /after/"))
	must(t, session.Quit(ctx))
	judge()
	records, err := s.daemons[keeper].Handoffs(ctx)
	must(t, err)
	if last := records[len(records)-1]; last.Error == "" {
		t.Errorf("the last handoff was %+v, want a refused one", last)
	}
}

// A replica that is dead is passed over: the next target takes the client.
func TestHandoffToDeadReplica(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich")
	session := s.telnet(ctx, t)
	for session.Served == "adams" { // it is to die, without the client
		must(t, session.Say(ctx, "H"))
	}
	// A dead host, not a dead process: nobody answers, not even with a reset.
	s.Adams.IP("link", "set", "eth0", "down")
	for range 6 {
		must(t, session.Say(ctx, "still here? H"))
		if session.Served == "adams" {
			t.Fatal("served by a dead replica")
		}
	}
	failed := uint64(0)
	for _, name := range []string{"glass", "reich"} {
		var replicas []struct {
			Address string `json:"address"`
			Failed  uint64 `json:"failed"`
		}
		must(t, s.daemons[name].Get(ctx, "/v1/replicas", &replicas))
		for _, r := range replicas {
			failed += r.Failed
		}
	}
	if failed == 0 {
		t.Error("adams was never tried: the test shows nothing")
	}
	must(t, session.Quit(ctx))
	judge()
}

// When an application dies its clients' connections are closed in order: an
// end of file, no reset.
func TestApplicationKilled(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t)
	servers := s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "Hello"))
	must(t, servers[session.Served].Kill9())
	must(t, session.Ended(ctx))
	judge()
	if text := session.Text(); strings.Contains(text, "reset") {
		t.Errorf("telnet saw a reset:\n%s", text)
	}
	// The others serve on.
	next := s.telnet(ctx, t)
	must(t, next.Say(ctx, "anybody there?"))
	must(t, next.Quit(ctx))
}
