package thesis

import (
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vanycast/vanycast"
)

func host() vanycast.Host {
	return vanycast.Host{
		Name: "glass", Interface: "eth0", CareOf: netip.MustParseAddr("2001:db8:1::10"), Services: []string{"echo", "web"},
	}
}

func TestChoose(t *testing.T) {
	one, none := host(), host()
	one.Services, none.Services, none.CareOf = []string{"web"}, nil, netip.Addr{}
	for _, tc := range []struct {
		name string
		args string
		host vanycast.Host
		want string
		err  string
	}{
		{"all as expected", "-l 2001:db8:1::10 -i eth0 --service echo", host(), "echo", ""},
		{"the address in another spelling", "-l 2001:DB8:1:0::10 --service web", host(), "web", ""},
		{"the only service", "", one, "web", ""},
		{"another address", "-l 2001:db8:2::10", one, "", "-l: the care-of address of host glass is 2001:db8:1::10, not 2001:db8:2::10"},
		{"no address", "-l 2001:db8:2::10", none, "", "-l: the care-of address of host glass is not set, not 2001:db8:2::10"},
		{"another interface", "-i eth1", one, "", "-i: the interface of host glass is eth0, not eth1"},
		{"another service", "--service mail", host(), "", `--service: host glass has no service "mail"; it has: echo, web`},
		{"several services", "", host(), "", "--service is needed: host glass has the services: echo, web"},
		{"no service", "", none, "", "--service is needed: host glass has the services: none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var o Options
			f := flag.NewFlagSet("x", flag.ContinueOnError)
			o.Register(f, "c", "random")
			if err := f.Parse(strings.Fields(tc.args)); err != nil {
				t.Fatal(err)
			}
			got, err := o.choose(tc.host)
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
				t.Errorf("%q, %v; want %q, %s", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestBadAddressIsAMistake(t *testing.T) {
	var o Options
	f := flag.NewFlagSet("x", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	o.Register(f, "c", "")
	if err := f.Parse([]string{"-l", "eth0"}); err == nil {
		t.Error("accepted")
	}
}

func TestSocketOf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, doc string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tc := range []struct{ name, path, want, err string }{
		{"socket", socket, socket, ""},
		{"file", write("a", "[node]\nname='x'\n[api]\nsocket='/x/y'\n"), "/x/y", ""},
		{"file without", write("b", "[node]\nname='x'\n"), "", ""},
		{"no file", filepath.Join(dir, "none"), "", "no such file"},
		{"not TOML", write("c", "AnycastAddress 2001:db8:9::1\n"), "", "toml: line 1"},
	} {
		got, err := socketOf(tc.path)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %q, %v", tc.name, got, err)
		}
	}
}

// The daemon is asked at the socket that the configuration file names.
func TestListenVerifiesFirst(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "api.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/status" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		io.WriteString(w, `{"name":"glass","roles":["replica"],"interface":"eth0","care_of":"2001:db8:1::10","started":"2026-11-22T10:00:00Z","services":[]}`)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(ln) }()
	defer func() { srv.Close(); <-done }()
	file := filepath.Join(dir, "vanycast.toml")
	if err := os.WriteFile(file, []byte("[api]\nsocket = '"+socket+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{File: file, Local: netip.MustParseAddr("2001:db8:7::7")}
	_, _, err = o.Listen(context.Background())
	if err == nil || err.Error() != "-l: the care-of address of host glass is 2001:db8:1::10, not 2001:db8:7::7" {
		t.Errorf("got %v", err)
	}
}
