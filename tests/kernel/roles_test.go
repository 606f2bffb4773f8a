package kernel

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// Without a word in the configuration every role takes the kernel's own Mobile
// IPv6; the kernel makes the headers, and nothing is left when all have gone.
func TestAutoTakesTheKernels(t *testing.T) {
	needKernel(t)
	ctx := testContext(t)
	net := lab.Thesis(t, lab.Wire())
	before := map[string]string{}
	for _, name := range []string{"ha", "modern", "glass"} {
		before[name] = kernelState(ctx, t, net.Lookup(name))
	}
	_, daemons := install(ctx, t, net)
	for name, d := range daemons {
		s, err := d.Status(ctx)
		must(t, err)
		if s.Dataplane != "xfrm" {
			t.Errorf("%s: data plane %q, want xfrm", name, s.Dataplane)
		}
	}
	session, err := cluster.DialTelnet(ctx, net.Modern, io.Discard)
	must(t, err)
	defer session.Close()
	must(t, session.Greeted(ctx))
	must(t, session.Say(ctx, "Hello"))
	replica := net.Lookup(session.Served)
	for _, c := range []struct {
		host *lab.Host
		want string
	}{
		{net.Modern, "src 2001:db8:a::10 dst " + lab.ContactAddress + "\n\tproto route2 "},
		{net.Modern, "src " + lab.ContactAddress + " dst 2001:db8:a::10\n\tproto hao "},
		{replica, "src " + lab.ContactAddress + " dst 2001:db8:a::10\n\tproto hao "},
		{net.HA, "vanycast0"},
	} {
		if got := kernelState(ctx, t, c.host); !strings.Contains(got, c.want) {
			t.Errorf("%s has no %q:\n%s", c.host.Name(), c.want, got)
		}
	}
	must(t, session.Quit(ctx))
	for _, d := range daemons {
		must(t, d.Stop())
	}
	for name, was := range before {
		if is := kernelState(ctx, t, net.Lookup(name)); is != was {
			t.Errorf("%s: left behind:\n%s\nbefore:\n%s", name, is, was)
		}
	}
}

// kernelState is what a data plane may leave on a host.
func kernelState(ctx context.Context, t *testing.T, h *lab.Host) string {
	t.Helper()
	all := ""
	for _, command := range []string{"xfrm state", "xfrm policy", "-6 rule", "-6 addr show dev lo", "-o link", "-6 route show proto 145"} {
		out, err := h.Output(ctx, "ip", strings.Fields(command)...)
		must(t, err)
		all += out
	}
	return all
}
