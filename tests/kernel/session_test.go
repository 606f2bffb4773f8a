package kernel

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// setup is who has which data plane, and what the network does to packets.
type setup struct {
	name   string
	planes []cluster.Option
	delay  time.Duration // on each of the router's links, one way
	loss   float64       // there, in percent
	legacy bool          // the client has no Mobile IPv6
}

func plane(kind string, hosts ...string) cluster.Option { return cluster.WithDataPlane(kind, hosts...) }

// The thesis's session, on the kernel's own Mobile IPv6, mixed with the eBPF data
// plane, and on bad networks, by a client with Mobile IPv6 and by one without: the
// client's connection moves, and nobody sees a reset or a packet that is malformed.
func TestSession(t *testing.T) {
	needKernel(t)
	for _, s := range []setup{
		{name: "xfrm", planes: []cluster.Option{plane("xfrm")}},
		{name: "xfrm/20ms", planes: []cluster.Option{plane("xfrm")}, delay: 20 * time.Millisecond},
		{name: "xfrm/40ms", planes: []cluster.Option{plane("xfrm")}, delay: 40 * time.Millisecond},
		{name: "xfrm/loss", planes: []cluster.Option{plane("xfrm")}, delay: 5 * time.Millisecond, loss: 5},
		{name: "replicas mixed", planes: []cluster.Option{plane("xfrm"), plane("bpf", "reich")}},
		{name: "client bpf", planes: []cluster.Option{plane("xfrm"), plane("bpf", "modern")}},
		{name: "only client xfrm", planes: []cluster.Option{plane("bpf"), plane("xfrm", "modern")}},
		{name: "only home agent xfrm", planes: []cluster.Option{plane("bpf"), plane("xfrm", "ha")}},
		{name: "legacy", planes: []cluster.Option{plane("xfrm")}, legacy: true},
		{name: "legacy/40ms", planes: []cluster.Option{plane("xfrm")}, delay: 40 * time.Millisecond, legacy: true},
		{name: "legacy/replicas mixed", planes: []cluster.Option{plane("xfrm"), plane("bpf", "reich")}, legacy: true},
	} {
		t.Run(s.name, s.run)
	}
}

func (s setup) run(t *testing.T) {
	ctx := testContext(t)
	net := lab.Thesis(t, lab.Wire())
	_, daemons := install(ctx, t, net, s.planes...)
	s.impair(net.Router)
	client := net.Modern
	if s.legacy {
		client = net.Legacy
	}
	judge := capture(ctx, t, net.Router, client.Name(), "glass", "reich", "adams")
	converse(ctx, t, client, []string{"Please echo my data", "HiHaHoHeHuHa", "!all", "Happy with one more: H"})
	judge()
	moved := 0
	for _, name := range lab.Replicas() {
		records, err := daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			if r.Role == "donor" && r.Error == "" {
				moved++
			}
		}
	}
	if moved < 7 {
		t.Errorf("%d handoffs, want at least 7", moved)
	}
}

// impair makes all links bad, once everybody is there.
func (s setup) impair(router *lab.Host) {
	if s.delay == 0 && s.loss == 0 {
		return
	}
	for _, site := range lab.Sites() {
		port := site.Name
		if port == "ha" {
			port = "home"
		}
		router.Impair(port, s.delay, s.loss)
	}
}

// install brings up the daemons and the echo servers.
func install(ctx context.Context, t *testing.T, net *lab.ThesisNet, opts ...cluster.Option) (*cluster.Cluster, map[string]*cluster.Daemon) {
	t.Helper()
	c, err := cluster.New(ctx, t, net, binaries, opts...)
	must(t, err)
	daemons, err := c.StartAll(ctx)
	must(t, err)
	for _, name := range lab.Replicas() {
		_, err := c.StartEcho(name, 4)
		must(t, err)
	}
	must(t, c.WaitServing(ctx, daemons, "echo"))
	return c, daemons
}

// converse says these lines in a telnet session; one that begins with ! asks for
// all that was said before.
func converse(ctx context.Context, t *testing.T, from *lab.Host, lines []string) {
	t.Helper()
	session, err := cluster.DialTelnet(ctx, from, io.Discard)
	if session != nil {
		defer func() {
			session.Close()
			if t.Failed() {
				t.Logf("--- telnet on %s\n%s", from.Name(), session.Text())
			}
		}()
	}
	must(t, err)
	must(t, session.Greeted(ctx))
	history := ""
	for _, line := range lines {
		if strings.HasPrefix(line, "!") {
			must(t, session.All(ctx, line, history))
		} else {
			must(t, session.Say(ctx, line))
		}
		history += strings.ReplaceAll(line, "H", "") + "/"
	}
	must(t, session.Quit(ctx))
}

// betweenPeers is a reset of a connection to or from the peers' port.
var betweenPeers = regexp.MustCompile(` TCP \d+ (4100 → \d+|\d+ → 4100) \[RST`)

// capture watches hosts' links at the router; the returned function ends it and
// fails the test for what no link of ours may show.
func capture(ctx context.Context, t *testing.T, router *lab.Host, hosts ...string) (judge func()) {
	t.Helper()
	captures := map[string]*lab.Capture{}
	for _, name := range hosts {
		c, err := router.Capture(name)
		must(t, err)
		captures[name] = c
	}
	return func() {
		t.Helper()
		for name, c := range captures {
			must(t, c.Stop())
			problems, err := c.Problems(ctx)
			must(t, err)
			for _, p := range problems {
				// Replicas give up connections to each other that are not made in time.
				if !betweenPeers.MatchString(p) {
					t.Errorf("on the link of %s: %s", name, p)
				}
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
