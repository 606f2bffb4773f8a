// Command bench measures vanycast, each thing against a reference in the same
// run on the same machine (make bench). It prints a table, leaves the same
// in build/bench.json, and after a whole run writes it into docs/benchmarks.md.
//
//   - extract+insert of a TCP endpoint (package tcpcp) against the bare system
//     calls of a C program (package tcpcp/benchmark), empty and with 64 KB in both
//     queues: processor time;
//   - throughput of route-optimised and of tunnelled traffic against plain
//     IPv6 at the same MTU (iperf3, medians of interleaved runs);
//   - whole handoffs between two replicas, daemons and all: how many a second,
//     and processor time of both daemons for each, against the bare move;
//   - connections distributed to another replica at the contact node against a
//     plain accept loop there;
//   - a page of Apache (thesis §6.3.2), distributed, against straight from it;
//   - what a home agent forwards through its tunnels against what the same host's
//     kernel forwards plainly;
//   - the binding cache at a thousand to a million bindings against a plain map,
//     and Binding Updates with authenticators against the bare sums;
//   - how fast xfrm states are declared, against iproute2, in user-mode Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// part is one measurement; it needs a laboratory of its own.
type part struct {
	name string
	run  func(ctx context.Context, tb lab.TB, b *bench) error
}

var parts = []part{
	{name: "move", run: measureMoves},
	{name: "throughput", run: measureThroughput},
	{name: "handoff", run: measureHandoffs},
	{name: "distribution", run: measureDistribution},
	{name: "web", run: measureWeb},
	{name: "homeagent", run: measureHomeAgent},
	{name: "bindings", run: measureBindings},
	{name: "xfrm", run: measureXFRM},
	{name: "gaps", run: measureGaps},
}

// bench is what the parts share.
type bench struct {
	bin     string // folder of the binaries
	results results
}

func main() {
	only := flag.String("only", "", "measure only these parts, comma-separated: "+partNames())
	port := flag.Int("accept-loop", 0, "be the reference of distribution, at this `PORT`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	job := func() error { return run(ctx, *only) }
	if *port != 0 {
		job = func() error { return acceptLoop(ctx, *port) }
	}
	if err := job(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

func run(ctx context.Context, only string) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	b := &bench{bin: filepath.Join(root, "build", "bin")}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var failures []error
	for _, p := range parts {
		if only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", p.name)
		if err := lab.Run("bench-"+p.name, logger, func(tb lab.TB) error { return p.run(ctx, tb, b) }); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err)) // the others are worth having
		}
	}
	fmt.Print(b.results.table())
	failures = append(failures, b.results.write(filepath.Join(root, "build", "bench.json")))
	if err := errors.Join(failures...); err != nil || only != "" {
		return err
	}
	return b.results.report(filepath.Join(root, "docs", "benchmarks.md"), time.Now())
}
