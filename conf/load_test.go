package conf

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Services may share a contact address, with a port each; a host may serve
// several addresses, each with its own lifetimes.
func TestSeveralServices(t *testing.T) {
	doc, err := os.ReadFile("testdata/replica.toml")
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(doc), "[[service]]")
	service, _, _ := strings.Cut(string(doc[i+1:]), "\n[")
	service = "[" + service
	add := func(change ...string) { doc = append(doc, "\n"+strings.NewReplacer(change...).Replace(service)...) }
	add(`"echo"`, `"web"`, "4000", "80")
	add(`"echo"`, `"mail"`, `"2001:db8:9::1"`, `"2001:db8:9::2"`, `policy `, "home_lifetime = '1000s'\nbinding_lifetime = '100s'\npolicy ")
	c, err := Parse("testdata/several.toml", doc)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Services) != 3 || c.Services[1].Port != 80 || c.Services[2].HomeLifetime != 1000*time.Second {
		t.Errorf("%+v", c.Services)
	}
}

// The example of the design's §7, word for word.
func TestReplica(t *testing.T) {
	got, err := Load("testdata/replica.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File: "testdata/replica.toml",
		Node: Node{
			Name: "glass", Roles: []Role{RoleReplica}, Interface: "eth0",
			CareOf: addr("2001:db8:1::10"), DataPlane: DataPlaneAuto,
		},
		API: API{Socket: "/run/vanycast/api.sock", Group: "vanycast"},
		Log: Log{Level: "info", Format: "text"},
		Peers: &Peers{
			Listen:      netip.MustParseAddrPort("[2001:db8:1::10]:4100"),
			Certificate: filepath.Join(dir, "glass.pem"),
			Key:         filepath.Join(dir, "glass.key"),
			Authority:   filepath.Join(dir, "ca.pem"),
		},
		Services: []Service{{
			Name: "echo", ContactAddress: addr("2001:db8:9::1"), Port: 4000, Backlog: 128,
			HomeAgent:    addr("2001:db8:9::ff"),
			ContactNodes: []netip.Addr{addr("2001:db8:1::10"), addr("2001:db8:2::10")},
			Replicas:     []netip.Addr{addr("2001:db8:1::10"), addr("2001:db8:2::10"), addr("2001:db8:3::10")},
			Policy:       "random", ReturnPath: ReturnTunnel, FlowBindings: true, Mode: "seamless", IPsec: IPsecOptional, Steer: true,
			ConnectTimeout: time.Second, HandoffTimeout: 8 * time.Second, AcceptTimeout: 5 * time.Second,
			ExcludeTime: 30 * time.Second, ContactTimeout: 3 * time.Second, ContactReturn: 10 * time.Second, HomeLifetime: 600 * time.Second, BindingLifetime: 420 * time.Second,
		}},
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestHomeAgent(t *testing.T) {
	got, err := Load("testdata/home-agent.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File: "testdata/home-agent.toml",
		Node: Node{Name: "ha", Roles: []Role{RoleHomeAgent, RoleCorrespondent}, Interface: "eth0", DataPlane: DataPlaneAuto},
		API:  API{Socket: DefaultSocket},
		Log:  Log{Level: "debug", Format: "json"},
		HomeAgent: &HomeAgent{
			Interface: "eth0", Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Address: addr("2001:db8:9::ff"),
			MaxLifetime: 20 * time.Minute, MaxBindings: 1024,
			CareOf:        []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")},
			HomeAddresses: []netip.Addr{addr("2001:db8:9::1")},
			Replicas:      []netip.Addr{addr("2001:db8:1::10"), addr("2001:db8:2::10")},
			IPsec:         IPsecRequired,
			Preference:    10, PrefixValid: 48 * time.Hour, PrefixPreferred: 48 * time.Hour,
			Advertise: true, AdvertInterval: 10 * time.Minute, AgentLifetime: 15 * time.Minute,
		},
		IPsec: []IPsec{
			{ContactAddress: addr("2001:db8:9::1"), CareOf: addr("2001:db8:1::10"), Keys: filepath.Join(dir, "glass.keys")},
			{ContactAddress: addr("2001:db8:9::1"), CareOf: addr("2001:db8:2::10"), HomeAgent: addr("2001:db8:9::ff"), Keys: "/etc/vanycast/reich.keys"},
		},
		Correspondent: &Correspondent{MaxBindings: 4096},
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestNameDefaultsToTheHost(t *testing.T) {
	c, err := Parse("x.toml", []byte("[node]\nroles=['correspondent']\ninterface='eth0'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := hostName(); c.Node.Name != want {
		t.Errorf("name %q, want the host's: %q", c.Node.Name, want)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want one that is fs.ErrNotExist", err)
	}
}

func TestLoadTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long.toml")
	if err := os.WriteFile(path, make([]byte, maxFile+100), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if err == nil || !strings.Contains(err.Error(), "long.toml:1: is longer than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsAs(t *testing.T) {
	_, err := Parse("c.toml", []byte("[node]\nroles=['replica']\n"))
	var one *Error
	if !errors.As(err, &one) || one.File != "c.toml" {
		t.Errorf("errors.As(%v) gave %v", err, one)
	}
}

func TestResolveCareOf(t *testing.T) {
	doc, err := os.ReadFile("testdata/replica.toml")
	if err != nil {
		t.Fatal(err)
	}
	without := strings.ReplaceAll(string(doc), `care_of   = "2001:db8:1::10"`, "")
	for _, tc := range []struct {
		name, doc, first, want, err string
	}{
		{"taken", without, "2001:db8:1::10", "2001:db8:1::10", ""},
		{"the file's stays", string(doc), "2001:db8:7::7", "2001:db8:1::10", ""},
		{"none", without, "", "", "configuration: no care-of address: [node] care_of is not set and interface eth0 has no global address"},
		{"another", without, "2001:db8:7::7", "", "c.toml:13: peers.listen: 2001:db8:1::10 is not the care-of address of this host, 2001:db8:7::7; peers know it by that\n" +
			"c.toml:25: service.replicas: the care-of address of this host, 2001:db8:7::7, is not among them"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Parse("c.toml", []byte(tc.doc))
			if err != nil {
				t.Fatal(err)
			}
			first, _ := netip.ParseAddr(tc.first)
			text := ""
			if err := c.ResolveCareOf(first); err != nil {
				text = err.Error()
			}
			if d := cmp.Diff(tc.err, text); d != "" {
				t.Error(d)
			}
			if want, _ := netip.ParseAddr(tc.want); c.Node.CareOf != want {
				t.Errorf("care-of address %v, want %v", c.Node.CareOf, want)
			}
		})
	}
}
