package tests

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// contactAt is the contact address with a port.
func contactAt(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), port)
}

// net/http runs on a vanycast listener unchanged, and curl's one connection is
// handed to another replica between two of its requests.
func TestHTTPConnectionMovesBetweenRequests(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 90*time.Second)
	s := bringUp(ctx, t, cluster.WithServices(cluster.Service{Name: "web", Contact: contactAt(80), NeverSelf: true}))
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "web", "-name", name)
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "web"))
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")

	base := fmt.Sprintf("http://[%s]", lab.ContactAddress)
	out, err := s.Modern.Output(ctx, "curl", "-sS", "--fail", "--max-time", "60",
		"-w", "connects %{num_connects}\n",
		base+"/who", base+"/handoff", base+"/who", base+"/handoff", base+"/who")
	must(t, err)
	var names []string
	var connects []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if n, ok := strings.CutPrefix(line, "connects "); ok {
			connects = append(connects, n)
		} else {
			names = append(names, strings.TrimPrefix(line, "handing off from "))
		}
	}
	if got := strings.Join(connects, ""); got != "10000" {
		t.Errorf("curl made new connections at its five requests: %s, want 10000\n%s", got, out)
	}
	if len(names) != 5 || names[0] != names[1] || names[1] == names[2] || names[2] != names[3] || names[3] == names[4] {
		t.Errorf("served by %q; want one replica for the first two requests, another for the next two, and again another", names)
	}
	judge()
}

// A server that knows nothing of vanycast: Debian's Apache behind vanyproxy on
// each replica, fetched by curl and by wget.
func TestApacheBehindProxy(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t, cluster.WithServices(cluster.Service{Name: "www", Contact: contactAt(80)}))
	for _, name := range lab.Replicas() {
		must(t, s.StartApache(ctx, name, map[string]string{"name": name + "\n", "large": largeFile}))
		_, err := s.StartServer(name, "vanyproxy", "-g", s.Socket(name), "-a", strconv.Itoa(cluster.ApachePort), "-s", "::1")
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "www"))
	for _, name := range append(lab.Replicas(), "modern") {
		// A tail loss probe sends a FIN again that is merely late, to an end that may be
		// gone: its reset would be no fault of anybody's.
		s.Lookup(name).Sysctl("net.ipv4.tcp_early_retrans", "0")
	}
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")

	url := fmt.Sprintf("http://[%s]/", lab.ContactAddress)
	served := map[string]bool{}
	for range 12 {
		for _, fetch := range [][]string{
			{"curl", "-sS", "--fail", "--max-time", "60"},
			{"wget", "-q", "-O", "-", "--tries=1", "--timeout=60"},
		} {
			name, err := s.Modern.Output(ctx, fetch[0], append(fetch[1:], url+"name")...)
			must(t, err)
			served[strings.TrimSpace(name)] = true
			body, err := s.Modern.Output(ctx, fetch[0], append(fetch[1:], url+"large")...)
			must(t, err)
			if body != largeFile {
				t.Errorf("%s got %d bytes, and not the %d of the file", fetch[0], len(body), len(largeFile))
			}
		}
	}
	for name := range served {
		if s.Lookup(name) == nil {
			t.Errorf("served by %q, which is no replica", name)
		}
	}
	judge()
}

// largeFile is more than the socket buffers on the way hold.
var largeFile = strings.Repeat("All work and no proxy makes a dull server.\n", 100_000)
