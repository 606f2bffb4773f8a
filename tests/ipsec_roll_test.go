package tests

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// roll makes new keys at the home agent and loads them at a contact node, as an
// operator does.
func (s *site) roll(ctx context.Context, t *testing.T, at string, args ...string) string {
	t.Helper()
	keys, err := s.Vanyctl(ctx, "ha", append([]string{"keys", "roll"}, args...)...)
	must(t, err)
	var out, log bytes.Buffer
	cmd := s.VanyctlCommand(ctx, at, "keys", "load")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(keys), &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("keys load: %v\n%s%s", err, out.String(), log.String())
	}
	return out.String()
}

// heardWith is the newest generation that the home agent has heard a replica use;
// 0 for none.
func (s *site) heardWith(ctx context.Context, t *testing.T, replica string) (newest uint32) {
	t.Helper()
	var keys []wire.Key
	must(t, s.daemons["ha"].Get(ctx, wire.PathKeys, &keys))
	for _, k := range keys {
		if k.CareOf == s.address(replica) && k.Heard {
			newest = max(newest, k.Generation)
		}
	}
	return newest
}

// Keys are rolled while a session is on: every contact node gets its own, over the
// replicas' channel from the one that the operator gave them to; registrations and
// home tests go over to them, tshark opens both, and not a packet is dropped.
// Then one of the replicas is shut out, and the other is not.
func TestIPsecRollAndRevoke(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	service := cluster.Echo()
	service.ContactNodes = []string{"glass", "reich"}
	service.Extra = []string{`home_lifetime = "8s"`} // registers every few seconds
	c, err := cluster.New(ctx, t, lab.Thesis(t, lab.Wire()), binaries, cluster.WithServices(service), cluster.WithIPsec(cluster.IPsec{Mode: "required"}))
	must(t, err)
	home, err := c.Router.Capture("home")
	must(t, err)
	s := &site{Cluster: c}
	s.daemons, err = c.StartAll(ctx)
	must(t, err)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "before"))
	before := associations(t, c.Keys("ha", "echo", "glass"))

	const rolls = 2
	for range rolls {
		loaded := s.roll(ctx, t, "glass")
		if n := strings.Count(loaded, "in use"); n != 2 {
			t.Fatalf("%d replicas have their keys, want 2:\n%s", n, loaded)
		}
	}
	after := associations(t, c.Keys("ha", "echo", "glass"))
	must(t, lab.WaitFor(ctx, func() error {
		if g := s.heardWith(ctx, t, "glass"); g != rolls+1 {
			return fmt.Errorf("glass registers with generation %d", g)
		}
		return nil
	}))
	must(t, session.Say(ctx, "HiHaHo")) // each H moves it
	must(t, session.All(ctx, "!all", "before/iao/"))
	must(t, session.Quit(ctx))
	for _, host := range []string{"ha", "glass", "reich"} {
		for _, name := range []string{"dropped_unprotected", "dropped_unknown_spi", "dropped_authentication", "dropped_replay", "dropped_selector", "dropped_malformed", "unsent"} {
			if n := s.counter(ctx, t, host, "ipsec."+name); n != 0 {
				t.Errorf("%s: %s is %d", host, name, n)
			}
		}
	}

	// glass is no longer trusted: what it registered is gone, what it says is not
	// understood, and the next keys go to reich alone.
	revoked, err := s.Vanyctl(ctx, "ha", "keys", "revoke", cluster.AddressOf("glass"))
	if err != nil || !strings.Contains(revoked, cluster.AddressOf("glass")) || !strings.Contains(revoked, "yes") {
		t.Fatalf("revoke: %v\n%s", err, revoked)
	}
	var bindings []wire.Binding
	must(t, s.daemons["ha"].Get(ctx, wire.PathBindings, &bindings))
	if len(bindings) != 0 {
		t.Errorf("still registered: %+v", bindings)
	}
	if loaded := s.roll(ctx, t, "reich"); strings.Count(loaded, "in use") != 1 || strings.Contains(loaded, cluster.AddressOf("glass")) {
		t.Errorf("keys for one that has none any more:\n%s", loaded)
	}
	must(t, lab.WaitFor(ctx, func() error {
		if n := s.counter(ctx, t, "ha", "ipsec.dropped_unknown_spi"); n == 0 {
			return fmt.Errorf("glass has not tried to register")
		}
		return nil
	}))

	must(t, home.Stop())
	home.Decrypt(append(before, after...)...)
	for _, spi := range []uint32{before[0].SPI, after[len(after)-len(before)].SPI} {
		if n, err := home.Count(ctx, fmt.Sprintf("esp.spi == %#x && esp.icv_good == 1 && mip6.mhtype == 5", spi)); err != nil || n == 0 {
			t.Errorf("%d Binding Updates with SPI %#x, %v", n, spi, err)
		}
	}
}
