package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Scripts tell success from failure; this tells the failures apart.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, doc string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name string
		args []string
		want int
	}{
		{"good file", []string{"check", write("good", "[node]\nroles=['correspondent']\ninterface='x'\n")}, 0},
		{"bad file", []string{"check", write("bad", "[node]\n")}, 2},
		{"no file", []string{"check", filepath.Join(dir, "none")}, 2},
		{"no daemon", []string{"status", "--socket", filepath.Join(dir, "sock")}, 1},
		{"no command", nil, 2},
		{"unknown command", []string{"x"}, 2},
		{"unknown flag", []string{"status", "-x"}, 2},
		{"too many arguments", []string{"events", "x"}, 2},
		{"bad address", []string{"ca", "issue", "x", "--dir", dir, "--address", "y"}, 2},
		{"no authority", []string{"ca", "issue", "x", "--dir", dir, "--address", "2001:db8::1"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := execute(t.Context(), tc.args, io.Discard, io.Discard); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}
