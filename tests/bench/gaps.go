package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/uml"
)

// The table of gaps has its own place in docs/benchmarks.md: it comes from another
// kernel.
const (
	gapsBegin = "<!-- bench -only gaps writes from here -->"
	gapsEnd   = "<!-- to here, gaps -->"
)

// gaps is what TestGaps of tests/kernel found in one mode.
type gaps struct {
	Client, Mode string
	Handoffs     int
	Down         []float64 `json:"down_ms"`
	Up           []float64 `json:"up_ms"`
}

// measureGaps has TestGaps of tests/kernel run in user-mode Linux, which has
// netem, and puts what it found into docs/benchmarks.md.
func measureGaps(ctx context.Context, _ lab.TB, b *bench) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	if err := cluster.Build(ctx, b.bin, "./cmd/...", "./examples/...", "./tests/servers/..."); err != nil {
		return err
	}
	boot, err := uml.Build(ctx, b.bin)
	if err != nil {
		return err
	}
	test, err := uml.BuildTest(ctx, b.bin, root, "./tests/kernel")
	if err != nil {
		return err
	}
	out := filepath.Join(root, "build", "bench-gaps")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, "lab"), 0o755); err != nil {
		return err
	}
	status, err := uml.Boot(ctx, uml.Config{
		Boot: boot, Show: root, Out: out, Console: os.Stderr,
		Command: fmt.Sprintf("cd %s && VANYCAST_BIN=%s VANYCAST_LAB_DIR=%s/lab %s -test.v -test.run='^TestGaps$'",
			filepath.Join(root, "tests", "kernel"), b.bin, uml.OutDir, test),
	})
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("TestGaps in user-mode Linux: exit status %d", status)
	}
	text, err := os.ReadFile(filepath.Join(out, "lab", "gaps.json"))
	if err != nil {
		return err
	}
	var all []gaps
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("gaps.json: %w", err)
	}
	return replace(filepath.Join(root, "docs", "benchmarks.md"), gapsBegin, gapsEnd, gapsTable(all, time.Now()))
}

// gapsTable is the table for people. The last row is the thesis's.
func gapsTable(all []gaps, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, user-mode Linux 6.1 (one processor), on the machine below.\n\n", now.UTC().Format(time.DateOnly))
	b.WriteString("| client | handover | to the client: median | longest | from the client: median | longest | handoffs |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, g := range all {
		if len(g.Down) == 0 || len(g.Up) == 0 {
			continue
		}
		kind := "with Mobile IPv6"
		if g.Client == "legacy" {
			kind = "without"
		}
		fmt.Fprintf(&b, "| %s | %s | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %d |\n",
			kind, g.Mode, median(g.Down), most(g.Down), median(g.Up), most(g.Up), g.Handoffs)
	}
	b.WriteString("| with Mobile IPv6 | the thesis's, on its own network | | 400–950 ms | | | |\n")
	return b.String()
}

func most(values []float64) (m float64) {
	for _, v := range values {
		m = max(m, v)
	}
	return m
}
