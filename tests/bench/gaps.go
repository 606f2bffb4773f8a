package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/gap"
	"github.com/vanycast/vanycast/tests/lab"
)

// The table of gaps has its own place in docs/benchmarks.md: there is nothing to
// divide by.
const (
	gapsBegin = "<!-- make bench writes the gaps from here -->"
	gapsEnd   = "<!-- to here, the gaps -->"
)

// measureGaps measures what clients feel of handoffs on links with delay, in each
// mode.
func measureGaps(ctx context.Context, _ lab.TB, b *bench) error {
	if err := cluster.Build(ctx, b.bin, "./cmd/...", "./tests/servers/..."); err != nil {
		return err
	}
	delays := map[string]time.Duration{}
	for _, s := range lab.Sites() {
		delays[s.Name] = gap.ReplicaLink
	}
	for _, client := range gap.Clients() {
		delays[client] = gap.ClientLink
	}
	var all []gap.Felt
	for _, client := range gap.Clients() {
		for _, way := range gap.Ways() {
			// A laboratory for each.
			err := lab.Run("gap-"+client+"-"+strings.NewReplacer(", ", "-", " ", "-").Replace(way.String()), slog.Default(), func(tb lab.TB) error {
				f, err := gap.Feel(ctx, tb, lab.Thesis(tb, lab.DelayedTo(delays)), b.bin, client, way, func() {})
				all = append(all, f)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", client, way, err)
			}
		}
	}
	table := gapsTable(all, time.Now())
	fmt.Println(table)
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	return replace(filepath.Join(root, "docs", "benchmarks.md"), gapsBegin, gapsEnd, table)
}

// gapsTable is the table for people. The last row is the thesis's.
func gapsTable(all []gap.Felt, now time.Time) string {
	var b strings.Builder
	var calm []float64
	b.WriteString("| client | handover | to the client: median | longest | from the client: median | longest | handoffs |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, g := range all {
		kind := "with Mobile IPv6"
		if g.Client == "legacy" {
			kind = "without"
		}
		fmt.Fprintf(&b, "| %s | %s | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %d |\n",
			kind, gap.Way{Mode: g.Mode, Early: g.Early}, median(g.Down), slices.Max(g.Down), median(g.Up), slices.Max(g.Up), g.Handoffs)
		calm = append(calm, g.Calm...)
	}
	b.WriteString("| with Mobile IPv6 | the thesis's, in its own network | | 400–950 ms | | | |\n")
	if len(calm) > 0 {
		fmt.Fprintf(&b, "\n%s, Linux %s. Between handoffs the longest silence was %.0f ms (median %.0f ms).\n",
			now.UTC().Format(time.DateOnly), release(), slices.Max(calm), median(calm))
	}
	return b.String()
}
