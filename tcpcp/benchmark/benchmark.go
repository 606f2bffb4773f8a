package benchmark

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Result is the processor time of one move, here and in the bare C program,
// measured in turns in the same run.
type Result struct {
	Name      string // for people and for comparing runs
	Queue     int    // bytes in each of the two queues
	Value     time.Duration
	Reference time.Duration
}

// Ratio is how many times the bare system calls a move costs.
func (r Result) Ratio() float64 { return float64(r.Value) / float64(r.Reference) }

// rounds is how often each side is measured; the median counts.
const rounds = 7

// Run measures moves with empty queues and with 64 KB in both, so many moves in
// each of some rounds (1000 take about a second for all). It counts the processor
// time of the whole process: nothing else should run in it.
func Run(ctx context.Context, moves int) ([]Result, error) {
	dir, err := os.MkdirTemp("", "tcpcp-benchmark-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bare, err := NewReference(ctx, dir)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, c := range []struct {
		name  string
		queue int
	}{{"extract+insert, empty queues", 0}, {"extract+insert, 64 KB in both queues", 64 << 10}} {
		r := Result{Name: c.name, Queue: c.queue}
		if err := r.measure(ctx, bare, moves); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func (r *Result) measure(ctx context.Context, bare *Reference, moves int) error {
	var ours, reference []time.Duration
	for range rounds {
		ref, err := bare.Run(ctx, r.Queue, moves)
		if err != nil {
			return err
		}
		reference = append(reference, ref)
		own, err := runMoves(ctx, r.Queue, moves)
		if err != nil {
			return err
		}
		ours = append(ours, own)
	}
	r.Value, r.Reference = median(ours), median(reference)
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// runMoves moves a connection so many times and returns the processor time of one.
func runMoves(ctx context.Context, queue, moves int) (each time.Duration, err error) {
	err = isolated(func() error {
		c, err := newConnection(queue)
		if err != nil {
			return err
		}
		defer c.close()
		// The garbage that a round leaves is its own.
		runtime.GC()
		for range moves / 10 {
			if err := c.move(); err != nil {
				return err
			}
		}
		start, err := processorTime()
		if err != nil {
			return err
		}
		for range moves {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.move(); err != nil {
				return err
			}
		}
		end, err := processorTime()
		each = (end - start) / time.Duration(moves)
		return err
	})
	return each, err
}

func processorTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}
