package uml

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Our ESP against the kernel's: the tests that package ipsec skips on a kernel
// without ESP.
func TestESP(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	dir := t.TempDir()
	umlboot, err := Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	// The guest's /tmp is its own: what it needs of ours must be in Out.
	out := t.TempDir()
	binary, err := BuildTest(ctx, out, "github.com/vanycast/vanycast/mipv6/ipsec")
	if err != nil {
		t.Fatal(err)
	}
	status, err := Boot(ctx, Config{Boot: umlboot, Out: out, Command: filepath.Join(OutDir, filepath.Base(binary)) + " -test.v -test.run ^TestKernel >" + OutDir + "/log 2>&1"})
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(out, "log"))
	if err != nil {
		t.Fatal(err)
	}
	ended, unfinished := Results(log)
	passed := 0
	for _, r := range ended {
		if r.Outcome == Pass {
			passed++
		} else {
			t.Errorf("%s: %s", r.Name, r.Outcome)
		}
	}
	if status != 0 || len(unfinished) > 0 || passed == 0 {
		t.Errorf("exit status %d, %d tests passed, unfinished %q", status, passed, unfinished)
	}
	t.Logf("%s", log)
}
