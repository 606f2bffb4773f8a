package kernel

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// A session with ipsec = "required", before and after keys are rolled: the
// kernel's ESP at both ends, and at either end with ours at the other. tshark opens
// all of it with the keys, and finds nothing in clear.
func TestIPsec(t *testing.T) {
	needKernel(t)
	for _, s := range []struct {
		name, algorithm string
		planes          []cluster.Option
	}{
		{"both xfrm", "aes-gcm", []cluster.Option{plane("xfrm")}},
		{"home agent bpf", "aes-cbc-hmac-sha256", []cluster.Option{plane("xfrm"), plane("bpf", "ha")}},
		{"contact node bpf", "aes-gcm", []cluster.Option{plane("xfrm"), plane("bpf", "glass")}},
	} {
		t.Run(s.name, func(t *testing.T) { protected(t, s.algorithm, s.planes) })
	}
}

func protected(t *testing.T, algorithm string, planes []cluster.Option) {
	ctx := testContext(t)
	net := lab.Thesis(t, lab.Wire())
	home, err := net.Router.Capture("home")
	must(t, err)
	service := cluster.Echo()
	service.Extra = []string{`home_lifetime = "8s"`} // registers every few seconds
	c, daemons := install(ctx, t, net, append(planes, cluster.WithServices(service),
		cluster.WithIPsec(cluster.IPsec{Mode: "required", Algorithm: algorithm}))...)
	converse(ctx, t, net.Modern, []string{"Please echo my data", "HiHaHo", "!all"})

	keys, err := cluster.Associations(c.Keys("ha", "echo", "glass"))
	must(t, err)
	made, err := c.Vanyctl(ctx, "ha", "keys", "roll")
	must(t, err)
	var out bytes.Buffer
	load := c.VanyctlCommand(ctx, "glass", "keys", "load")
	load.Stdin, load.Stdout, load.Stderr = strings.NewReader(made), &out, &out
	if err := load.Run(); err != nil {
		t.Fatalf("keys load: %v\n%s", err, out.String())
	}
	must(t, lab.WaitFor(ctx, func() error { return inUse(ctx, daemons["ha"], 2) }))
	newer, err := cluster.Associations(c.Keys("ha", "echo", "glass"))
	must(t, err)
	converse(ctx, t, net.Modern, []string{"HiHaHo", "!all"})
	nothingDropped(ctx, t, daemons)
	must(t, home.Stop())
	if err := cluster.JudgeIPsec(ctx, home, "modern", append(keys, newer...)); err != nil {
		t.Error(err)
	}
	for _, a := range newer[len(keys) : len(keys)+2] { // registrations; home tests are not due again
		if n, err := home.Count(ctx, fmt.Sprintf("esp.spi == %#x && esp.icv_good == 1", a.SPI)); err != nil || n == 0 {
			t.Errorf("new association with SPI %#x: %d packets, %v", a.SPI, n, err)
		}
	}
}

// inUse says why the home agent and the contact node do not use a generation.
func inUse(ctx context.Context, ha *cluster.Daemon, generation uint32) error {
	var keys []wire.Key
	if err := ha.Get(ctx, wire.PathKeys, &keys); err != nil {
		return err
	}
	for _, k := range keys {
		if k.Generation == generation && k.Received["bu"] > 0 && k.Sent["ba"] > 0 {
			return nil
		}
	}
	return fmt.Errorf("generation %d is not in use: %+v", generation, keys)
}

func nothingDropped(ctx context.Context, t *testing.T, daemons map[string]*cluster.Daemon) {
	t.Helper()
	for _, host := range []string{"ha", "glass"} {
		s, err := daemons[host].Status(ctx)
		must(t, err)
		for name, n := range s.Counters {
			if strings.HasPrefix(name, "ipsec.") && (strings.Contains(name, "dropped") || strings.Contains(name, "unsent")) && n > 0 {
				t.Errorf("%s: %s is %d", host, name, n)
			}
		}
	}
}

// A contact node that has no keys is dropped by the home agent's kernel, counted,
// and never registered.
func TestIPsecRefusesClear(t *testing.T) {
	needKernel(t)
	ctx := testContext(t)
	net := lab.Thesis(t, lab.Wire())
	c, err := cluster.New(ctx, t, net, binaries, plane("xfrm"), cluster.WithReplicas("glass", "reich"),
		cluster.WithIPsec(cluster.IPsec{Mode: "required", KeysOnlyAtHomeAgent: true}))
	must(t, err)
	daemons, err := c.StartAll(ctx)
	must(t, err)
	must(t, lab.WaitFor(ctx, func() error {
		s, err := daemons["ha"].Status(ctx)
		if n := s.Counters["ipsec.dropped_unprotected"]; err == nil && n < 2 {
			err = fmt.Errorf("%d updates dropped", n)
		}
		return err
	}))
	if s, err := daemons["glass"].Service(ctx, "echo"); err != nil || s.ContactNode {
		t.Errorf("registered in clear: %v, %v", s.ContactNode, err)
	}
}
