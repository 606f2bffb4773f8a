package tests

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// cutting is a session in the middle of a basic handoff: the acceptor has inserted the
// endpoint, but its care-of test does not reach the client, so it has not bound
// it yet.
//
//	modern ══ telnet ══ donor ── handoff ──► acceptor ─ ─ CoTI ─ ✗ modern
type cutting struct {
	*site
	session         *cluster.Telnet
	donor, acceptor string
	judge           func()
}

func newCutting(ctx context.Context, t *testing.T, judged ...string) *cutting {
	t.Helper()
	service := cluster.Echo()
	service.Extra = []string{`mode = "basic"`} // else the care-of test comes before the freeze
	s := bringUp(ctx, t, cluster.WithReplicas("glass", "reich"), cluster.WithServices(service))
	s.echoAt(ctx, t, "glass", "reich")
	c := &cutting{site: s, judge: s.capture(ctx, t, judged...), session: s.telnet(ctx, t)}
	must(t, c.session.Say(ctx, "warming up H"))
	c.donor, c.acceptor = c.session.Served, "glass"
	if c.donor == "glass" {
		c.acceptor = "reich"
	}
	before, err := c.sockets(ctx)
	must(t, err)
	c.drop(c.acceptor, "modern")
	must(t, c.session.Send("H"))
	must(t, lab.WaitFor(ctx, func() error {
		now, err := c.sockets(ctx)
		if err == nil && (now == before || now == "") {
			err = errors.New("nothing was inserted at " + c.acceptor)
		}
		return err
	}))
	return c
}

var inode = regexp.MustCompile(`\bino:\d+`)

// sockets names the acceptor's sockets of the service's clients.
func (c *cutting) sockets(ctx context.Context) (string, error) {
	out, err := c.Lookup(c.acceptor).Output(ctx, "ss", "-Hnte", "state", "established", "sport", "=", ":4000")
	return strings.Join(inode.FindAllString(out, -1), " "), err
}

// between is a rule of the router that loses what one host sends to another.
func between(from, to string) []string {
	a, _ := lab.SiteOf(from)
	b, _ := lab.SiteOf(to)
	return []string{"from", a.Addr.String(), "to", b.Addr.String(), "blackhole"}
}

func (c *cutting) drop(from, to string) {
	c.Router.IP(append([]string{"-6", "rule", "add"}, between(from, to)...)...)
}

func (c *cutting) pass(from, to string) {
	c.Router.IP(append([]string{"-6", "rule", "del"}, between(from, to)...)...)
}

// alive: the client is served by that replica and lost nothing.
func (c *cutting) alive(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, c.session.Say(ctx, "still here"))
	must(t, c.session.All(ctx, "!all", "warming up //still here/"))
	must(t, c.session.Quit(ctx))
	c.judge()
}

// refused waits for the server's word that the client stays.
func (c *cutting) refused(ctx context.Context, t *testing.T) {
	t.Helper()
	_, err := c.session.Answer(ctx, `Sorry, I could not hand you over`)
	must(t, err)
}

// lastRecord waits for a record of the newest handoff at a replica in that role.
func (c *cutting) lastRecord(ctx context.Context, host, role string, since time.Time) (failure string, err error) {
	err = lab.WaitFor(ctx, func() error {
		records, err := c.daemons[host].Handoffs(ctx)
		if err != nil {
			return err
		}
		for _, r := range slices.Backward(records) {
			if r.Role == role && r.Started.After(since) {
				failure = r.Error
				return nil
			}
		}
		return fmt.Errorf("%s has no record as %s yet", host, role)
	})
	return failure, err
}

// The replicas lose sight of each other while the acceptor binds the client: the
// acknowledgement is lost. When they see each other again the donor asks, and
// lets the client go.
func TestAcknowledgementLostInTheNetwork(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 2*time.Minute)
	began := time.Now()
	c := newCutting(ctx, t, "modern", "glass", "reich")
	c.drop(c.donor, c.acceptor)
	c.drop(c.acceptor, c.donor)
	c.pass(c.acceptor, "modern")
	must(t, c.session.Moved(ctx))
	must(t, c.session.Echoed(ctx, ""))
	c.pass(c.donor, c.acceptor)
	c.pass(c.acceptor, c.donor)
	failure, err := c.lastRecord(ctx, c.donor, "donor", began)
	must(t, err)
	if failure != "" {
		t.Errorf("the donor says of the handoff: %s", failure)
	}
	c.alive(ctx, t)
	if c.session.Served != c.acceptor {
		t.Errorf("served by %s, want %s", c.session.Served, c.acceptor)
	}
}

// The acceptor is cut off from the donor and from the client for good: when its
// time is over the donor takes the client back by a Binding Update with the
// acceptor's number.
func TestAcceptorCutOff(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 2*time.Minute)
	c := newCutting(ctx, t, "modern", "glass", "reich")
	c.drop(c.donor, c.acceptor)
	c.drop(c.acceptor, c.donor)
	c.refused(ctx, t)
	// What the acceptor still has of the client must not disturb it now.
	c.pass(c.acceptor, "modern")
	must(t, c.session.Echoed(ctx, ""))
	c.alive(ctx, t)
	if c.session.Served != c.donor {
		t.Errorf("served by %s, want %s", c.session.Served, c.donor)
	}
}

// The acceptor's daemon dies in the middle: its host refuses the donor's
// connections, so the donor takes the client back without waiting.
func TestAcceptorKilled(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 2*time.Minute)
	// A dead process's own connections are reset; the client's is none of them.
	c := newCutting(ctx, t, "modern")
	must(t, c.daemons[c.acceptor].Kill9())
	c.refused(ctx, t)
	must(t, c.session.Echoed(ctx, ""))
	c.alive(ctx, t)
}
