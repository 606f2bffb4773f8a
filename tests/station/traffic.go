package station

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/tests/lab"
)

// Ping sends three echo requests from a host to the contact address and wants
// every one answered.
func Ping(t *testing.T, from *lab.Host) {
	t.Helper()
	if out, err := from.Output(t.Context(), "ping", "-c", "3", "-i", "0.1", "-W", "5", lab.ContactAddress); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Judge wants so many echo requests and as many replies route optimised between
// the client and each replica, and nothing malformed.
func Judge(t *testing.T, capture *lab.Capture, straight map[string]int) {
	t.Helper()
	for name, want := range straight {
		site, ok := lab.SiteOf(name)
		if !ok {
			t.Fatalf("no site %q", name)
		}
		for _, filter := range []string{
			fmt.Sprintf("icmpv6.type == 128 && ipv6.routing.type == 2 && ipv6.dst == %v && ipv6.routing.mipv6.home_address == %v", site.Addr, Contact),
			fmt.Sprintf("icmpv6.type == 129 && ipv6.opt.mipv6.home_address == %v && ipv6.src == %v", Contact, site.Addr),
		} {
			n, err := capture.Count(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			if n != want {
				t.Errorf("%d frames match %s, want %d", n, filter, want)
			}
		}
	}
	problems, err := capture.Problems(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("in the capture: %v, %v", problems, err)
	}
	if t.Failed() {
		frames, err := capture.Frames(t.Context(), "")
		t.Logf("%v\n%s", err, strings.Join(frames, "\n"))
	}
}
