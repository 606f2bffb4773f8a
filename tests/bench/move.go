package main

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	moveConnections = 50
	moveTimes       = 40 // each connection, in one run
	moveRuns        = 7  // of ours and of the reference, in turn
	moveAddress     = "2001:db8::1"
)

// measureMoves compares package tcpcp with the bare system calls.
func measureMoves(ctx context.Context, tb lab.TB, b *bench) error {
	for _, queued := range []int{0, 64 << 10} {
		h, bare, err := moveHost(ctx, tb)
		if err != nil {
			return err
		}
		var ours, theirs []float64
		for range moveRuns {
			value, err := runBare(ctx, h, bare, queued)
			if err != nil {
				return err
			}
			theirs = append(theirs, value)
			if err := h.Do(func() (err error) { value, err = moveAll(queued); return err }); err != nil {
				return err
			}
			ours = append(ours, value)
		}
		name := "extract_insert_empty"
		if queued > 0 {
			name = fmt.Sprintf("extract_insert_%dk", queued>>10)
		}
		b.results.add(name, median(ours), "µs", median(theirs))
	}
	return nil
}

// moveHost makes a host with one address and compiles the reference.
func moveHost(ctx context.Context, tb lab.TB) (*lab.Host, string, error) {
	n := lab.New(tb)
	h := n.Host("host")
	h.Addr("lo", netip.MustParsePrefix(moveAddress+"/128"))
	root, err := cluster.Root()
	if err != nil {
		return nil, "", err
	}
	bare := filepath.Join(n.Dir(), "bare")
	source := filepath.Join(root, "tests", "bench", "reference", "bare.c")
	if out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", bare, source).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("gcc %s: %w: %s", source, err, out)
	}
	return h, bare, nil
}

func runBare(ctx context.Context, h *lab.Host, bare string, queued int) (float64, error) {
	out, err := h.Output(ctx, bare, moveAddress, strconv.Itoa(moveConnections), strconv.Itoa(moveTimes), strconv.Itoa(queued))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// moveAll does with package tcpcp what reference/bare.c does, on a thread of
// the host, and returns the processor time of one move in microseconds.
func moveAll(queued int) (float64, error) {
	pairs, err := connectPairs(queued)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, p := range pairs {
			unix.Close(p.client)
			unix.Close(p.server)
		}
	}()
	before, err := processTime()
	if err != nil {
		return 0, err
	}
	for range moveTimes {
		for _, p := range pairs {
			if p.server, err = move(p.server); err != nil {
				return 0, err
			}
		}
	}
	after, err := processTime()
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(time.Microsecond) / moveTimes / moveConnections, nil
}

// move takes a connection out of the kernel and puts it back.
func move(fd int) (int, error) {
	f, err := tcpcp.Freeze(fd)
	if err != nil {
		return -1, err
	}
	e, err := f.Extract()
	if err != nil {
		return -1, err
	}
	// In the same kernel the old one must be gone before the new one comes.
	if err := f.Forget(); err != nil {
		return -1, err
	}
	i, err := tcpcp.Insert(e)
	if err != nil {
		return -1, err
	}
	return i.Activate()
}

// processTime is the processor time of this process, the garbage collector's
// included.
func processTime() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}
