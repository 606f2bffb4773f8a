package cluster

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// The files are ones that the daemon takes, and the certificates are for the
// addresses in them.
func TestInstallation(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	bin := t.TempDir()
	if err := Build(ctx, bin, "./cmd/vanycastd", "./cmd/vanyctl"); err != nil {
		t.Fatal(err)
	}
	c, err := New(ctx, t, lab.Thesis(t), bin, WithServices(
		Echo(),
		Service{
			Name: "www", Contact: netip.MustParseAddrPort("[2001:db8:9::2]:80"), Policy: "local", ContactOnly: true,
			ContactNodes: []string{"reich", "glass"}, Extra: []string{`accept_timeout = "2s"`},
		}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.daemonHosts() {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "vanycastd"), "--config", c.Config(name), "--check")
		if out, err := cmd.CombinedOutput(); err != nil {
			text, _ := os.ReadFile(c.Config(name))
			t.Errorf("%s: %v: %s\n%s", name, err, out, text)
		}
	}
	for _, name := range c.replicas {
		b, err := os.ReadFile(filepath.Join(c.dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatalf("%s.pem is not PEM", name)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := certificate.VerifyHostname(addressOf(name)); err != nil {
			t.Errorf("%s.pem: %v", name, err)
		}
	}
}

// Whatever a server's user may not read, it can reach its socket and run its
// program.
func TestServersAreUnprivileged(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bin := t.TempDir()
	if err := Build(ctx, bin, "./cmd/vanyctl"); err != nil {
		t.Fatal(err)
	}
	c, err := New(ctx, t, lab.Thesis(t), bin)
	if err != nil {
		t.Fatal(err)
	}
	id, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.StartServer("glass", id, "-u")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
	if got := p.Tail(1); got != "65534" {
		t.Errorf("servers run as user %q, want 65534", got)
	}
}
