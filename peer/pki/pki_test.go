package pki_test

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/peer/pki"
)

var (
	glass = netip.MustParseAddr("2001:db8:1::10")
	reich = netip.MustParseAddr("2001:db8:2::10")
)

// authority makes a directory with an authority and a certificate for glass.
func authority(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := pki.NewAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if err := pki.Issue(dir, "glass", []netip.Addr{glass}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(dir, name string, careOf netip.Addr, now time.Time) error {
	_, _, err := pki.Load(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), filepath.Join(dir, "ca.pem"), careOf, now)
	return err
}

func TestIssuedCertificateLoads(t *testing.T) {
	dir := authority(t)
	cert, pool, err := pki.Load(filepath.Join(dir, "glass.pem"), filepath.Join(dir, "glass.key"), filepath.Join(dir, "ca.pem"), glass, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	// What crypto/tls will ask for on the two sides.
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: glass.String(), KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			t.Errorf("usage %d: %v", usage, err)
		}
	}
	if leaf.IsCA {
		t.Error("a replica's certificate can sign others")
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := authority(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name()] = true
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	for _, want := range []string{"ca.pem", "ca.key", "glass.pem", "glass.key"} {
		if !names[want] {
			t.Errorf("no %s", want)
		}
	}
	if len(names) != 4 {
		t.Errorf("files left over: %v", names)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	for _, victim := range []string{"ca.pem", "ca.key", "glass.pem", "glass.key"} {
		t.Run(victim, func(t *testing.T) {
			dir := t.TempDir()
			if strings.HasPrefix(victim, "glass") {
				if err := pki.NewAuthority(dir); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, victim)
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			if strings.HasPrefix(victim, "ca") {
				err = pki.NewAuthority(dir)
			} else {
				err = pki.Issue(dir, "glass", []netip.Addr{glass})
			}
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("error is %v, want fs.ErrExist", err)
			}
			if b, _ := os.ReadFile(path); string(b) != "precious" {
				t.Errorf("%s was overwritten", victim)
			}
			// Nor is half of a pair left.
			partner := strings.TrimSuffix(path, filepath.Ext(path)) + map[string]string{".pem": ".key", ".key": ".pem"}[filepath.Ext(path)]
			if _, err := os.Stat(partner); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was made though %s could not be", partner, victim)
			}
		})
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	dir := authority(t)
	other := authority(t)
	replace := func(t *testing.T, file, from string) string {
		t.Helper()
		mixed := t.TempDir()
		if err := os.CopyFS(mixed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return mixed
	}
	now := time.Now()
	tests := []struct {
		name   string
		dir    string
		careOf netip.Addr
		now    time.Time
		is     error
		says   string
	}{
		{"wrong address", dir, reich, now, pki.ErrWrongAddress, "glass.pem"},
		{"leaf expired", dir, glass, now.Add(pki.LeafLifetime + time.Hour), pki.ErrExpired, "glass.pem"},
		{"authority expired", dir, glass, now.Add(pki.AuthorityLifetime + time.Hour), pki.ErrExpired, "ca.pem"},
		{"not yet valid", dir, glass, now.Add(-48 * time.Hour), pki.ErrExpired, "ca.pem"},
		{"another authority", replace(t, "ca.pem", other), glass, now, pki.ErrUntrusted, "glass.pem"},
		{"another key", replace(t, "glass.key", other), glass, now, nil, "glass.key"},
		{"no such file", t.TempDir(), glass, now, fs.ErrNotExist, "ca.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := load(tt.dir, "glass", tt.careOf, tt.now)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want %v that names %s", err, tt.is, tt.says)
			}
		})
	}
}

func TestIssueRefusesBadInput(t *testing.T) {
	dir := authority(t)
	for name, addrs := range map[string][]netip.Addr{
		"../evil": {glass},
		"ca":      {glass},
		"":        {glass},
		"empty":   nil,
		"any":     {netip.IPv6Unspecified()},
		"many":    {netip.MustParseAddr("ff02::1")},
		"zone":    {netip.MustParseAddr("fe80::1%eth0")},
	} {
		if err := pki.Issue(dir, name, addrs); err == nil {
			t.Errorf("certificate %q for %v was issued", name, addrs)
		}
	}
	if err := pki.Issue(t.TempDir(), "glass", []netip.Addr{glass}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("issued without an authority: %v", err)
	}
}
