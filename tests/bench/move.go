package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vanycast/vanycast/tcpcp/benchmark"
	"github.com/vanycast/vanycast/tests/lab"
)

// moves is how often a connection is moved in one run.
const moves = 2000

// measureMoves compares package tcpcp with the same system calls made in C.
func measureMoves(ctx context.Context, _ lab.TB, b *bench) error {
	results, err := benchmark.Run(ctx, moves)
	if err != nil {
		return err
	}
	for _, r := range results {
		name := "extract_insert_empty"
		if r.Queue > 0 {
			name = fmt.Sprintf("extract_insert_%dk", r.Queue>>10)
		}
		b.results.add(name, micros(r.Value), "µs", micros(r.Reference))
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
