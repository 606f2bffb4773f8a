package xfrm_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/conformance"
	"github.com/vanycast/vanycast/mipv6/xfrm"
	"github.com/vanycast/vanycast/tests/lab"
)

// childVariable makes the test binary a process that only holds a plane.
const childVariable = "VANYCAST_XFRM_CHILD"

// child makes a plane on eth0 of the namespace that it was started in,
// declares a bit of everything, and waits to be killed.
func child() int {
	p, err := xfrm.New(xfrm.Config{Interface: "eth0"})
	if err == nil {
		err = declareAll(p)
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("ready")
	select {}
}

// kill starts a process that holds a plane on the host, and kills it.
func kill(t *testing.T, h *lab.Host) {
	t.Helper()
	p, err := h.Start([]string{os.Args[0]}, lab.Env(childVariable+"=1"))
	if err != nil {
		t.Fatal(err)
	}
	err = lab.WaitFor(within(t), func() error {
		if !strings.Contains(p.Tail(5), "ready") {
			return errors.New("the child is not ready: " + p.Tail(5))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill9(); err != nil {
		t.Fatal(err)
	}
}

// A killed process leaves everything as it was. The next one takes all it left
// away, but for the guards on its contact addresses, and then is like the first.
func TestKilledProcessLeavesNoTrace(t *testing.T) {
	replica, other := newPair(t)
	before := conformance.Trace(t, replica)
	fresh := newPlane(t, replica, "eth0")
	clean := trace(t, replica)
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	kill(t, replica)
	left := conformance.Trace(t, replica)
	for _, want := range []string{home.String(), "proto 145", "vanycast0", "reqid 145", "priority 1450", "pref 146 u32"} {
		if !strings.Contains(left, want) {
			t.Errorf("the killed process left no %q: the test shows nothing", want)
		}
	}
	c, err := other.Capture("eth0")
	if err != nil {
		t.Fatal(err)
	}
	next := newPlane(t, replica, "eth0")
	// What is left of a socket whose address has gone.
	if _, err := replica.Output(within(t), "ping", "-6", "-n", "-c", "1", "-W", "0.3", "-I", home.String(), neighbor.String()); err == nil {
		t.Error("a ping from a contact address of the dead process was answered")
	}
	if d := cmp.Diff(clean, trace(t, replica)); d != "" {
		t.Errorf("New did not take everything away (-fresh +after a dead one):\n%s", d)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Count(within(t), "ipv6.src == "+home.String()); err != nil || n != 0 {
		t.Errorf("%d packets left natively (%v)", n, err)
	}
	if err := errors.Join(declareAll(next), next.Close()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
		t.Errorf("Close left something (-before +after):\n%s", d)
	}
}

// For a host that goes on with the other data plane.
func TestCleanUp(t *testing.T) {
	replica, _ := newPair(t)
	before := conformance.Trace(t, replica)
	for range 2 {
		kill(t, replica)
		if err := replica.Do(func() error { return xfrm.CleanUp("eth0", nil) }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, conformance.Trace(t, replica)); d != "" {
			t.Errorf("CleanUp left something (-before +after):\n%s", d)
		}
	}
}

// trace is conformance.Trace without the guards.
func trace(t *testing.T, h *lab.Host) string {
	t.Helper()
	all := regexp.MustCompile(`\bid \d+`).ReplaceAllString(conformance.Trace(t, h), "id N")
	all = regexp.MustCompile(`(?m)^\d+: vanykept`).ReplaceAllString(all, "N: vanykept") // a new one each time
	return guards.ReplaceAllString(all, "")
}

func TestOnePlanePerNamespace(t *testing.T) {
	replica, _ := newPair(t)
	p := newPlane(t, replica, "eth0")
	for name, again := range map[string]func() error{
		"New":     func() error { _, err := xfrm.New(xfrm.Config{Interface: "eth0"}); return err },
		"CleanUp": func() error { return xfrm.CleanUp("eth0", nil) },
	} {
		if err := replica.Do(again); !errors.Is(err, dataplane.ErrBusy) {
			t.Errorf("%s beside another plane: %v, want ErrBusy", name, err)
		}
	}
	if err := declareAll(p); err != nil {
		t.Errorf("the refused one disturbed the first: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
