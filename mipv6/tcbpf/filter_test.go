package tcbpf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6/dataplane/conformance"
	"github.com/vanycast/vanycast/tests/lab"
)

func tc(t *testing.T, h *lab.Host, command string) {
	t.Helper()
	if _, err := h.Output(within(t), "tc", strings.Fields(command)...); err != nil {
		t.Fatal(err)
	}
}

const foreignFilter = "filter add dev eth0 egress protocol all pref 7 u32 match u32 0 0 classid 1:1"

// Filters of others stay, and so does the qdisc that they hang on, whoever made
// it.
func TestForeignFiltersStay(t *testing.T) {
	t.Run("their qdisc", func(t *testing.T) {
		replica, _ := newPair(t)
		tc(t, replica, "qdisc add dev eth0 clsact")
		before := conformance.Trace(t, replica)
		p := newPlane(t, replica, "eth0")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
			t.Errorf("changed (-before +after):\n%s", d)
		}
	})
	t.Run("our qdisc", func(t *testing.T) {
		replica, _ := newPair(t)
		p := newPlane(t, replica, "eth0")
		tc(t, replica, foreignFilter)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		after := conformance.Trace(t, replica)
		if !strings.Contains(after, "pref 7 u32") || strings.Contains(after, "vanycast_") {
			t.Errorf("after Close:\n%s", after)
		}
	})
	t.Run("after a crash", func(t *testing.T) {
		replica, _ := newPair(t)
		tc(t, replica, "qdisc add dev eth0 clsact")
		tc(t, replica, foreignFilter)
		before := conformance.Trace(t, replica)
		if err := startChild(t, replica).Kill9(); err != nil {
			t.Fatal(err)
		}
		p := newPlane(t, replica, "eth0")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
			t.Errorf("changed (-before +after):\n%s", d)
		}
	})
}
