package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// associations are those of a key file, for tshark.
func associations(t *testing.T, file string) []lab.Association {
	t.Helper()
	all, err := cluster.Associations(file)
	must(t, err)
	return all
}

// counter is one of a daemon's.
func (s *site) counter(ctx context.Context, t *testing.T, host, name string) uint64 {
	t.Helper()
	status, err := s.daemons[host].Status(ctx)
	must(t, err)
	n, ok := status.Counters[name]
	if !ok {
		t.Fatalf("%s has no counter %s", host, name)
	}
	return n
}

// With ipsec = "required" a session moves as ever, and between the replicas and
// the home agent no Mobility Header is in clear. tshark, with the keys, finds all
// of them in ESP, of either algorithm (RFC 3776 §3.1, §3.3).
func TestIPsecRequired(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"aes-gcm", "aes-cbc-hmac-sha256"} {
		t.Run(algorithm, func(t *testing.T) {
			ctx := testContext(t, 120*time.Second)
			service := cluster.Echo()
			service.ContactNodes = []string{"glass", "reich"}
			c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries, cluster.WithServices(service),
				cluster.WithIPsec(cluster.IPsec{Mode: "required", Algorithm: algorithm}))
			must(t, err)
			home, err := c.Router.Capture("home")
			must(t, err)
			s := &site{Cluster: c}
			s.daemons, err = c.StartAll(ctx)
			must(t, err)
			s.echoAt(ctx, t, "glass", "reich", "adams")
			judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")
			session := s.telnet(ctx, t)
			must(t, session.Say(ctx, "Please echo my data"))
			must(t, session.Say(ctx, "HiHaHo"))
			must(t, session.All(ctx, "!all", "Please echo my data/iao/"))
			must(t, session.Quit(ctx))
			judge()

			must(t, home.Stop())
			if err := cluster.JudgeIPsec(ctx, home, "modern", associations(t, c.Keys("glass", "echo", "glass"))); err != nil {
				t.Error(err)
			}
			if n := s.counter(ctx, t, "ha", "ipsec.dropped_unprotected") + s.counter(ctx, t, "glass", "ipsec.dropped_unprotected"); n != 0 {
				t.Errorf("%d messages came in clear", n)
			}
		})
	}
}

// A replica without keys is not registered where they are required: its updates
// are dropped and counted, and not answered. One that requires them itself sends
// nothing in clear.
func TestIPsecRefusesClear(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries, cluster.WithReplicas("glass", "reich"),
		cluster.WithIPsec(cluster.IPsec{Mode: "required", Without: []string{"glass"}}))
	must(t, err)
	home, err := c.Router.Capture("home")
	must(t, err)
	s := &site{Cluster: c}
	s.daemons, err = c.StartAll(ctx)
	must(t, err)
	must(t, lab.WaitFor(ctx, func() error {
		if n := s.counter(ctx, t, "ha", "ipsec.dropped_unprotected"); n < 2 {
			return fmt.Errorf("%d updates dropped", n)
		}
		return nil
	}))
	service, err := s.daemons["glass"].Service(ctx, "echo")
	must(t, err)
	if service.ContactNode {
		t.Error("registered in clear")
	}
	must(t, home.Stop())
	if n, err := home.Count(ctx, "mip6.mhtype == 6"); err != nil || n > 0 {
		t.Errorf("%d acknowledgements, %v", n, err)
	}
}
