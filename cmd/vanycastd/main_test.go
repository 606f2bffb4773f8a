package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/conf"
)

const good = "[node]\nname='x'\nroles=['correspondent']\ninterface='eth0'\n"

func write(t *testing.T, doc string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExecute(t *testing.T) {
	ok := write(t, good)
	bad := write(t, "[node]\nroles=['x']\nport=1\n")
	missing := filepath.Join(t.TempDir(), "none.toml")
	for _, tc := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"check good", []string{"--config", ok, "--check"}, 0, ok + ": ok\n", ""},
		{
			"check bad", []string{"--config", bad, "--check"}, 2, "",
			bad + ":1: node.interface: is missing\n" +
				bad + ":2: node.roles: \"x\" is unknown; one or more of: replica, home-agent, correspondent\n" +
				bad + ":3: node.port: is not a key of this section\n",
		},
		{"run bad", []string{"--config", write(t, "x")}, 2, "", "c.toml:1: "},
		{"no file", []string{"--config", missing}, 2, "", "vanycastd: configuration: open " + missing + ": " + "no such file or directory\n"},
		{"unknown flag", []string{"--port", "1"}, 2, "", "vanycastd: unknown flag: --port\n"},
		{"argument", []string{"x"}, 2, "", `vanycastd: unknown command "x" for "vanycastd"` + "\n"},
		{"version", []string{"--version"}, 0, "vanycastd ", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := execute(tc.args, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || (tc.stdout == "" && stdout.Len() > 0) {
				t.Errorf("stdout %q, want %q", stdout.String(), tc.stdout)
			}
			if !strings.Contains(stderr.String(), tc.stderr) || (tc.stderr == "" && stderr.Len() > 0) {
				t.Errorf("stderr %q, want %q", stderr.String(), tc.stderr)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var out strings.Builder
	l, err := newLogger(conf.Log{Level: "info", Format: "json"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	l.Debug("not seen")
	l.With("service", "echo").Warn("seen", slog.Group("peer", "n", 3), "err", fs.ErrNotExist)
	var m map[string]any
	if err := json.Unmarshal([]byte(out.String()), &m); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	for key, want := range map[string]any{"level": "warning", "msg": "seen", "service": "echo", "peer.n": 3.0, "err": "file does not exist"} {
		if m[key] != want {
			t.Errorf("%s: %v, want %v", key, m[key], want)
		}
	}
}

func TestUsageErrorUnwraps(t *testing.T) {
	if !errors.Is(usageError{fs.ErrNotExist}, fs.ErrNotExist) {
		t.Error("the cause is hidden")
	}
}
