package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/lab"
)

// setup is what a role needs under test: the configuration of its daemon, and
// what its host is like.
type setup struct {
	role   string
	config string // TOML; %[1]s is the API's socket, %[2]s the folder of the certificates
	host   func(n *lab.Net, nut *lab.Host)
	keys   bool // the home agent has keys for mobile nodes, see ipsec.go
	echo   bool // an echo server runs beside the daemon
	later  bool // the tester says when the daemon is started
}

// setups are all of them. The addresses are the tester's, too (tester/*.py).
var setups = []setup{
	{role: "home-agent", config: homeAgentConfig("eth0", "optional"), host: homeLink, keys: true},
	{role: "home-agent, IPsec required", config: homeAgentConfig("eth0", "required"), host: homeLink, keys: true},
	{role: "home-agent, virtual home link", config: homeAgentConfig("home0", "optional"), keys: true, host: func(n *lab.Net, h *lab.Host) {
		n.Link(h, n.Host("nobody"), lab.Names("home0", "eth0"))
		h.Addr("home0", netip.MustParsePrefix("2001:db8:9::ff/64"))
		h.Addr("eth0", netip.MustParsePrefix("2001:db8:5::ff/64"))
		h.Route(everywhere, netip.MustParseAddr("2001:db8:5::fe"))
	}},
	{role: "correspondent", config: correspondentConfig, host: func(_ *lab.Net, h *lab.Host) {
		h.Addr("eth0", netip.MustParsePrefix("2001:db8:a::10/64"))
		h.Route(everywhere, netip.MustParseAddr("2001:db8:a::1"))
	}},
	{role: "replica, registration", config: replicaConfig, host: replicaHost, later: true},
	{role: "replica", config: replicaConfig, host: replicaHost, echo: true},
}

// homeLink is a home agent's host with its one interface on the home link.
func homeLink(_ *lab.Net, h *lab.Host) {
	h.Addr("eth0", netip.MustParsePrefix("2001:db8:9::ff/64"))
	h.Route(everywhere, netip.MustParseAddr("2001:db8:9::fe"))
}

func replicaHost(_ *lab.Net, h *lab.Host) {
	h.Addr("eth0", netip.MustParsePrefix("2001:db8:1::10/64"))
	h.Route(everywhere, netip.MustParseAddr("2001:db8:1::1"))
}

const replicaConfig = `[node]
name      = "nut"
roles     = ["replica"]
interface = "eth0"
[api]
socket = "%[1]s"
[log]
level = "debug"
[peers]
listen      = "[2001:db8:1::10]:4100"
certificate = "%[2]s/nut.pem"
key         = "%[2]s/nut.key"
authority   = "%[2]s/ca.pem"
[[service]]
name            = "echo"
contact_address = "2001:db8:9::1"
port            = 4000
home_agent      = "2001:db8:9::ff"
contact_nodes   = ["2001:db8:1::10"]
replicas        = ["2001:db8:1::10"]
policy          = "local"
`

const correspondentConfig = `[node]
name      = "nut"
roles     = ["correspondent"]
interface = "eth0"
[api]
socket = "%[1]s"
[log]
level = "debug"
`

var everywhere = netip.MustParsePrefix("::/0")

func homeAgentConfig(iface, ipsec string) string {
	return fmt.Sprintf(`[node]
name      = "nut"
roles     = ["home-agent"]
interface = "eth0"
[api]
socket = "%%[1]s"
[log]
level = "debug"
[home_agent]
interface    = %q
ipsec        = %q
prefix       = "2001:db8:9::/64"
address      = "2001:db8:9::ff"
max_bindings = 4096
max_lifetime = "18h"
preference   = 10
advertise    = true
valid_lifetime     = "2h"
preferred_lifetime = "1h"
care_of      = ["2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48"]
`, iface, ipsec)
}

// bench is one set-up, built: the node under test and the tester, on one link.
//
//	┌────────┐ eth0          eth0 ┌─────┐
//	│ tester ├────────────────────┤ nut │ vanycastd
//	└────────┘                    └─────┘
type bench struct {
	nut, tester *lab.Host
	mac         string
	keys        string // the folder of the key files
	config      string
	bin         string
	socket      string
	api         *client.Client
	daemon      *lab.Process
}

// readyTimeout bounds the daemon's start.
const readyTimeout = 30 * time.Second

func (s setup) build(tb lab.TB, bin, certificates string) (*bench, error) {
	n := lab.New(tb)
	b := &bench{nut: n.Host("nut"), tester: n.Host("tester"), bin: bin}
	n.Link(b.tester, b.nut, lab.Wire())
	// The tester's kernel must not answer for those whom the tester plays.
	b.tester.Sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
	s.host(n, b.nut)
	out, err := b.nut.Command(context.Background(), "cat", "/sys/class/net/eth0/address").Output()
	if err != nil {
		return nil, err
	}
	b.mac = strings.TrimSpace(string(out))
	b.socket = filepath.Join(n.Dir(), "api.sock")
	b.config = filepath.Join(n.Dir(), "nut.toml")
	b.api = client.New(b.socket)
	config := strings.NewReplacer("%[1]s", b.socket, "%[2]s", certificates).Replace(s.config)
	if s.keys {
		b.keys = filepath.Join(n.Dir(), "keys")
		if err := makeKeys(filepath.Join(bin, "vanyctl"), b.keys); err != nil {
			return nil, err
		}
		config += ipsecSections(b.keys)
	}
	return b, os.WriteFile(b.config, []byte(config), 0o644)
}

// start starts the daemon and waits until it says that it is ready.
func (b *bench) start(ctx context.Context) (err error) {
	if b.daemon, err = b.nut.Start([]string{filepath.Join(b.bin, "vanycastd"), "--config", b.config}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("vanycastd was not ready within %v\n%s", readyTimeout, b.daemon.Tail(20)))
	defer cancel()
	defer b.api.Close()
	return lab.WaitFor(ctx, func() error {
		var status wire.Status
		return b.api.Get(ctx, "/v1/status", &status)
	})
}

// serve starts the echo server beside the daemon and waits until it listens.
func (b *bench) serve(ctx context.Context) error {
	if _, err := b.nut.Start([]string{filepath.Join(b.bin, "echo"), "--socket", b.socket, "-w", "64", "--policy", "local"}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("echo did not listen within %v", readyTimeout))
	defer cancel()
	defer b.api.Close()
	return lab.WaitFor(ctx, func() error {
		var status wire.Status
		if err := b.api.Get(ctx, "/v1/status", &status); err != nil {
			return err
		}
		if len(status.Services) == 0 || !status.Services[0].Listening {
			return errors.New("no server listens")
		}
		return nil
	})
}

// obey does what the tester asks for.
func (b *bench) obey(do string) error {
	switch do {
	case "start":
		return b.start(context.Background())
	case "stop":
		return b.daemon.Stop()
	case "kill":
		return b.daemon.Kill9()
	}
	return fmt.Errorf("conformance: the tester asks for %q", do)
}
