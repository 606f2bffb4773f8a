package uml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
)

// suites are the packages whose tests run in a guest, each line in one of its own,
// the longest first.
var suites = []struct {
	name string // of the subtest and its folder, "" for the package's
	pkg  string
	run  string // of its tests, as -test.run; "" for all
}{
	{pkg: "./mipv6/tcbpf", run: "TestConformance|TestProbe"},
	{pkg: "./mipv6/xfrm"},
	{name: "gaps", pkg: "./tests/kernel", run: "TestGaps"},
	{pkg: "./tests/kernel", run: "Test[^G]"},
	{pkg: "./mipv6/ipsec", run: "TestKernel"},
	{pkg: "./mipv6/mhsock"},
}

// The kernel's own Mobile IPv6, and our eBPF on the same kernel. Outputs, logs
// and captures are in build/kernel.
func TestKernel(t *testing.T) {
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(root, "build", "kernel")
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(to, "bin")
	ctx := t.Context()
	if err := cluster.Build(ctx, bin, "./cmd/...", "./examples/...", "./tests/servers/..."); err != nil {
		t.Fatal(err)
	}
	umlboot, err := Build(ctx, bin)
	if err != nil {
		t.Fatal(err)
	}
	suite := func(name, pkg, run string) {
		if name == "" {
			name = strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-")
		}
		t.Run(name, func(t *testing.T) {
			test, err := BuildTest(ctx, bin, root, pkg)
			if err != nil {
				t.Fatal(err)
			}
			inGuest(t, guestRun{
				boot: umlboot, root: root, out: filepath.Join(to, name), folder: filepath.Join(root, pkg),
				command: fmt.Sprintf("VANYCAST_BIN=%s %s -test.v -test.timeout=40m -test.run='%s'", bin, test, run),
			})
		})
	}
	next := make(chan int, len(suites))
	for i := range suites {
		next <- i
	}
	close(next)
	var guests sync.WaitGroup
	for range runtime.GOMAXPROCS(0) { // a guest has one processor
		guests.Go(func() {
			for i := range next {
				suite(suites[i].name, suites[i].pkg, suites[i].run)
			}
		})
	}
	guests.Wait()
}

type guestRun struct{ boot, root, out, folder, command string }

// inGuest runs a test binary in a guest, in its package's folder, and reports
// each of its tests as a subtest.
func inGuest(t *testing.T, r guestRun) {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Minute)
	defer cancel()
	output, status, err := r.boots(ctx)
	if errors.Is(err, ErrGuest) {
		// On a busy host user-mode Linux itself dies now and then.
		t.Logf("once more: %v", err)
		output, status, err = r.boots(ctx)
	}
	if err != nil {
		t.Error(err)
	}
	ended, unfinished := Results(output)
	for _, result := range ended {
		t.Run(result.Name, func(t *testing.T) {
			switch result.Outcome {
			case Fail:
				t.Errorf("failed in the guest: see %s", r.log())
			case Skip:
				t.Skipf("skipped in the guest: see %s", r.log())
			case Pass:
			}
		})
	}
	for _, name := range unfinished {
		t.Errorf("%s began and did not end", name)
	}
	if err == nil && status != 0 || len(ended) == 0 {
		t.Errorf("exit status %d, %d tests; the output ended with:\n%s", status, len(ended), tail(output))
	}
}

func (r guestRun) log() string { return filepath.Join(r.out, "output.txt") }

// boots runs it once and returns what it printed.
func (r guestRun) boots(ctx context.Context) (output []byte, status int, err error) {
	if err := os.RemoveAll(r.out); err != nil {
		return nil, 0, err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return nil, 0, err
	}
	log, err := os.Create(r.log())
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	var all bytes.Buffer
	command := fmt.Sprintf("cd %s && VANYCAST_LAB_DIR=%s/lab %s", r.folder, OutDir, r.command)
	status, err = Boot(ctx, Config{Boot: r.boot, Show: r.root, Out: r.out, Command: command, Console: io.MultiWriter(log, &all)})
	return all.Bytes(), status, err
}
