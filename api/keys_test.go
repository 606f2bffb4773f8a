package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vanycast/vanycast/api/wire"
)

// keeping is a backend with keys.
type keeping struct {
	backend
	rolled  []wire.KeyDelivery
	rollErr error
	loaded  []wire.KeyDelivery
}

var _ KeyKeeper = (*keeping)(nil)

func (k *keeping) Keys() []wire.Key { return []wire.Key{{CareOf: status.CareOf, Generation: 3}} }
func (k *keeping) RollKeys(r wire.RollKeys) ([]wire.KeyDelivery, error) {
	return k.rolled, k.rollErr
}
func (k *keeping) LoadKeys(_ context.Context, d []wire.KeyDelivery) []wire.KeyLoaded {
	k.loaded = d
	return nil
}
func (k *keeping) RevokeKeys(r wire.RevokeKeys) ([]wire.RevokedKey, error) {
	if r.CareOf != status.CareOf {
		return nil, fmt.Errorf("%w: %v", ErrNoKeys, r.CareOf)
	}
	return []wire.RevokedKey{{CareOf: r.CareOf, Registered: true}}, nil
}

func serveKeys(t *testing.T, cfg Config, b Backend) string {
	t.Helper()
	cfg.Socket = filepath.Join(t.TempDir(), "run", "api.sock")
	s, err := New(cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return cfg.Socket
}

func TestKeys(t *testing.T) {
	delivery := wire.KeyDelivery{Contact: netip.MustParseAddr("2001:db8:9::1"), CareOf: status.CareOf, Keys: "secret"}
	b := &keeping{rolled: []wire.KeyDelivery{delivery}}
	c := client(serveKeys(t, Config{}, b))
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://vanycast"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK && resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be stored", method, path)
		}
		return resp.StatusCode, string(out)
	}
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{http.MethodGet, wire.PathKeys, "", 200, `"generation":3`},
		{http.MethodPost, wire.PathKeys, "", 405, ""},
		{http.MethodGet, wire.PathKeysRoll, "", 405, ""},
		{http.MethodPost, wire.PathKeysRoll, `{}`, 200, `"keys":"secret"`},
		{http.MethodPost, wire.PathKeysRoll, `{"contcat":"x"}`, 400, "unknown field"},
		{http.MethodPost, wire.PathKeysRoll, `{} {}`, 400, "more than one"},
		{http.MethodPost, wire.PathKeysLoad, `[{"keys":"` + strings.Repeat("k", wire.MaxBody) + `"}]`, 200, "[]"},
		{http.MethodPost, wire.PathKeysLoad, `[{"keys":"` + strings.Repeat("k", wire.MaxKeys) + `"}]`, 400, "too large"},
		{http.MethodPost, wire.PathKeysLoad, `[{"keys":"5ec4e7"`, 400, "body"},
		{http.MethodPost, wire.PathKeysRevoke, `{"care_of":"2001:db8:1::10"}`, 200, `"registered":true`},
		{http.MethodPost, wire.PathKeysRevoke, `{"care_of":"2001:db8:1::11"}`, 404, "no such keys"},
	} {
		code, out := ask(tt.method, tt.path, tt.body)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s %s %.40s: %d %.200s; want %d, %s", tt.method, tt.path, tt.body, code, out, tt.code, tt.want)
		}
		if strings.Contains(out, "5ec4e7") {
			t.Errorf("a key in a refusal: %s", out)
		}
	}
	// What was made is given, whatever became of the rest; where nothing was, the
	// refusal says why.
	b.rollErr = errors.New("disk full")
	if code, out := ask(http.MethodPost, wire.PathKeysRoll, `{}`); code != 200 || !strings.Contains(out, "secret") || !strings.Contains(out, "disk full") {
		t.Errorf("some: %d %s", code, out)
	}
	b.rolled = nil
	if code, out := ask(http.MethodPost, wire.PathKeysRoll, `{}`); code != 409 || !strings.Contains(out, "disk full") {
		t.Errorf("none: %d %s", code, out)
	}
}

// The group may use the API, but for the keys.
func TestKeysAreNotTheGroups(t *testing.T) {
	const nobody = 65534
	path := serveKeys(t, Config{Group: "nogroup"}, &keeping{})
	for p := path; p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for request, want := range map[string]string{
		"GET /v1/status":     "HTTP/1.1 200 ",
		"GET /v1/keys":       "HTTP/1.1 403 ",
		"POST /v1/keys/roll": "HTTP/1.1 403 ",
		"POST /v1/keys/load": "HTTP/1.1 403 ",
	} {
		cmd := helper(t, request+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %q, want %s", request, out, want)
		}
	}
}

// A host without keys says so.
func TestNoKeys(t *testing.T) {
	resp, err := client(serveKeys(t, Config{}, &backend{})).Get("http://vanycast" + wire.PathKeys)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", resp.StatusCode)
	}
}
