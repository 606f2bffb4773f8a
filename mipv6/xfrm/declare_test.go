package xfrm_test

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

var update = flag.Bool("update", false, "write testdata into VANYCAST_OUT instead of comparing")

// A small laboratory: replica and home agent, which is also the client, on one
// link.
var (
	home     = netip.MustParseAddr("2001:db8:9::1")
	careOf   = netip.MustParseAddr("2001:db8:1::10")
	agent    = netip.MustParseAddr("2001:db8:1::ff")
	neighbor = netip.MustParseAddr("2001:db8:1::20")
	far      = netip.MustParseAddr("2001:db8:1::30")
)

func newPair(t *testing.T) (replica, other *lab.Host) {
	t.Helper()
	needKernel(t)
	n := lab.New(t)
	replica, other = n.Host("replica"), n.Host("other")
	n.Link(replica, other, lab.Names("eth0", "eth0"), lab.Wire())
	replica.Addr("eth0", netip.PrefixFrom(careOf, 64))
	for _, a := range []netip.Addr{agent, neighbor, far} {
		other.Addr("eth0", netip.PrefixFrom(a, 64))
	}
	other.Sysctl("net.ipv6.conf.all.forwarding", "1")
	return replica, other
}

// declareAll declares a bit of everything.
func declareAll(p dataplane.Plane) error {
	at := netip.MustParseAddr
	return errors.Join(
		p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}),
		p.SetRoute(dataplane.Flow{Home: home, Client: neighbor}, dataplane.Route{Kind: dataplane.Optimised}),
		p.SetRoute(dataplane.Flow{Home: home, Client: far}, dataplane.Route{Kind: dataplane.Held}),
		p.SetBinding(dataplane.Binding{Local: careOf, Home: at("2001:db8:9::3"), CareOf: neighbor}),
		p.SetTunnel(dataplane.Tunnel{Home: at("2001:db8:9::4"), CareOf: neighbor, HomeAgent: careOf}),
	)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func shown(t *testing.T, h *lab.Host, command string) string {
	t.Helper()
	args := strings.Fields(command)
	out, err := h.Output(within(t), args[0], args[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is declared is in the kernel as the `ip` command's text of testdata says,
// and nothing else.
func TestKernelState(t *testing.T) {
	replica, _ := newPair(t)
	p := newPlane(t, replica, "eth0")
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := declareAll(p); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, command := range []string{
		"ip xfrm state", "ip xfrm policy", "ip -6 addr show dev lo scope global", "ip -6 rule", "ip -6 route show table 145000",
		"ip -6 route show proto 145", "ip -o -d -6 tunnel",
	} {
		all.WriteString("$ " + command + "\n" + tidy(shown(t, replica, command)))
	}
	path := filepath.Join("testdata", "declared.txt")
	if *update {
		if err := os.WriteFile(filepath.Join(os.Getenv("VANYCAST_OUT"), "declared.txt"), []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), all.String()); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// tidy takes out blanks at the ends of lines and the interface that the kernel's
// module makes by itself.
func tidy(s string) string {
	s = regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(s, "")
	return regexp.MustCompile(`(?m)^ip6tnl0: .*\n`).ReplaceAllString(s, "")
}

// A binding's new care-of address is used at once, by connections that sent to
// the old one, and declaring what is declared changes nothing.
func TestChangesReplace(t *testing.T) {
	replica, _ := newPair(t)
	p := newPlane(t, replica, "eth0")
	defer p.Close()
	if err := declareAll(p); err != nil {
		t.Fatal(err)
	}
	b := dataplane.Binding{Local: careOf, Home: netip.MustParseAddr("2001:db8:9::3"), CareOf: far}
	moved := dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: far}
	if err := errors.Join(p.SetBinding(b), p.SetContact(moved)); err != nil {
		t.Fatal(err)
	}
	states, policies := shown(t, replica, "ip xfrm state"), shown(t, replica, "ip xfrm policy")
	for what, n := range map[string]int{"coa " + far.String(): 2, "coa " + neighbor.String(): 0, "src " + home.String() + " dst " + agent.String(): 0} {
		if got := strings.Count(states, what); got != n {
			t.Errorf("%q stands %d times in the states, want %d:\n%s", what, got, n, states)
		}
	}
	if err := errors.Join(p.SetBinding(b), p.SetContact(moved)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(policies, shown(t, replica, "ip xfrm policy")); d != "" {
		t.Errorf("declaring again changed (-once +twice):\n%s", d)
	}
}

// What others have put there stays, and is not taken for ours.
func TestForeignStateStays(t *testing.T) {
	replica, _ := newPair(t)
	for _, command := range []string{
		"xfrm state add src 2001:db8:7::1 dst 2001:db8:7::2 proto hao reqid 0 mode ro coa 2001:db8:7::3",
		"xfrm policy add src 2001:db8:7::1/128 dst 2001:db8:7::2/128 dir out priority 145000 ptype main action block",
		"xfrm policy add src 2001:db8:7::1/128 dst 2001:db8:7::2/128 dir out priority 7 ptype sub action block",
		"link add theirs type ip6tnl mode ip6ip6 local 2001:db8:7::1 remote 2001:db8:7::2",
	} {
		replica.IP(strings.Fields(command)...)
	}
	look := func() string {
		return shown(t, replica, "ip xfrm state") + shown(t, replica, "ip xfrm policy") + shown(t, replica, "ip -o link show dev theirs")
	}
	before := look()
	p := newPlane(t, replica, "eth0")
	if err := errors.Join(declareAll(p), p.Close()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, look()); d != "" {
		t.Errorf("changed (-before +after):\n%s", d)
	}
	// One that stands in the way is refused, and nothing is left of the attempt.
	p = newPlane(t, replica, "eth0")
	defer p.Close()
	err := p.SetBinding(dataplane.Binding{Local: netip.MustParseAddr("2001:db8:7::2"), Home: netip.MustParseAddr("2001:db8:7::1"), CareOf: neighbor})
	if !errors.Is(err, dataplane.ErrConflict) {
		t.Errorf("a binding that somebody else has: %v, want ErrConflict", err)
	}
}
