package tests

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t, cluster.WithServices(cluster.Service{Name: "www", Contact: contactAt(80)}))
	for _, name := range lab.Replicas() {
		startApache(t, s, name)
		_, err := s.StartServer(name, "vanyproxy", "-g", s.Socket(name), "-a", "8080", "-s", "::1")
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "www"))
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")

	url := fmt.Sprintf("http://[%s]/", lab.ContactAddress)
	served := map[string]bool{}
	for range 6 {
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

// startApache runs Apache on a host's ::1, port 8080.
func startApache(t *testing.T, s *site, host string) {
	t.Helper()
	dir := filepath.Join(s.Public(), "apache-"+host)
	must(t, os.MkdirAll(filepath.Join(dir, "www"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "www", "name"), []byte(host+"\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "www", "large"), []byte(largeFile), 0o644))
	modules := "/usr/lib/apache2/modules/"
	conf := fmt.Sprintf(`ServerRoot %[1]s
ServerName %[2]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
Listen [::1]:8080
LoadModule mpm_event_module %[3]smod_mpm_event.so
LoadModule authz_core_module %[3]smod_authz_core.so
User nobody
Group nogroup
StartServers 1
DocumentRoot %[1]s/www
<Directory %[1]s/www>
	Require all granted
</Directory>
`, dir, host, modules)
	file := filepath.Join(dir, "apache.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o644))
	_, err := s.Lookup(host).Start([]string{"apache2", "-f", file, "-DFOREGROUND"}, lab.LogName(host+"-apache.log"))
	must(t, err)
	ctx := testContext(t, 20*time.Second)
	must(t, lab.WaitFor(ctx, func() error {
		_, err := s.Lookup(host).Output(ctx, "curl", "-sS", "--fail", "http://[::1]:8080/name")
		return err
	}))
}
