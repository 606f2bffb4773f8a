// Command bench measures vanycast, each thing against a reference in the same
// run on the same machine (make bench). It prints a table and leaves the same
// in build/bench.json.
//
//   - extract+insert of a TCP endpoint (package tcpcp) against the bare system
//     calls of a C program (reference/bare.c), empty and with 64 KB in both
//     queues: processor time;
//   - throughput of route-optimised and of tunnelled traffic against plain
//     IPv6 at the same MTU (iperf3, medians of interleaved runs);
//   - whole handoffs between two replicas, daemons and all: how many a second,
//     and processor time of both daemons for each, against the bare move;
//   - what a home agent forwards through its tunnels against what the same host's
//     kernel forwards plainly;
//   - the binding cache at a thousand to a million bindings against a plain map,
//     and Binding Updates with authenticators against the bare sums;
//   - how fast xfrm states are declared, against iproute2, in user-mode Linux.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// part is one measurement; it needs a laboratory of its own.
type part struct {
	name string
	run  func(ctx context.Context, tb lab.TB, b *bench) error
}

var parts = []part{
	{"move", measureMoves},
	{"throughput", measureThroughput},
	{"handoff", measureHandoffs},
	{"homeagent", measureHomeAgent},
	{"bindings", measureBindings},
	{"xfrm", measureXFRM},
}

// bench is what the parts share.
type bench struct {
	bin     string // folder of the binaries
	results results
	bare    float64 // µs of the bare move of an empty endpoint
}

func main() {
	only := flag.String("only", "", "measure only these, comma-separated: move, throughput, handoff, homeagent, bindings, xfrm")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	b := &bench{bin: filepath.Join(root, "build", "bin")}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	for _, p := range parts {
		if only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", p.name)
		if err := lab.Run("bench-"+p.name, logger, func(tb lab.TB) error { return p.run(ctx, tb, b) }); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Print(b.results.table())
	return b.results.write(filepath.Join(root, "build", "bench.json"))
}
