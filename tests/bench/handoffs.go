package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/benchmark"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	// benchClients is how many clients are handed off at once. Each has an
	// address of its own, for all connections between a client's address and
	// a contact address travel the same way; and many are needed, for RFC 6275
	// allows a replica only MAX_UPDATE_RATE bindings a second at one client.
	benchClients = 300
	// handoffsEach is how often each client is handed off in a round.
	handoffsEach  = 10
	handoffRounds = 3
)

// measureHandoffs lets many clients go to and fro between glass and reich.
func measureHandoffs(ctx context.Context, tb lab.TB, b *bench) error {
	if err := cluster.Build(ctx, b.bin, "./cmd/...", "./examples/..."); err != nil {
		return err
	}
	n := lab.Thesis(tb)
	c, err := cluster.New(ctx, tb, n, b.bin, cluster.WithReplicas("glass", "reich"))
	if err != nil {
		return err
	}
	addresses := strangers(n, benchClients)
	daemons, err := c.StartAll(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"glass", "reich"} {
		if _, err := c.StartEcho(name, benchClients); err != nil {
			return err
		}
	}
	if err := c.WaitServing(ctx, daemons, "echo"); err != nil {
		return err
	}
	clients, err := connectAll(ctx, n.Modern, addresses)
	defer func() {
		for _, cl := range clients {
			cl.conn.Close()
		}
	}()
	if err != nil {
		return err
	}
	bare, err := benchmark.NewReference(ctx, n.Dir())
	if err != nil {
		return err
	}
	both := []int{daemons["glass"].Pid(), daemons["reich"].Pid()}
	var rates, used, bareMoves []float64
	for range handoffRounds {
		move, err := bare.Run(ctx, 0, moves)
		if err != nil {
			return err
		}
		rate, each, err := bounce(clients, both)
		if err != nil {
			return err
		}
		bareMoves, rates, used = append(bareMoves, micros(move)), append(rates, rate), append(used, each)
	}
	each, move := median(used), median(bareMoves)
	b.results.add("handoff_processor_time", each, "µs", move)
	b.results.add("handoffs_per_core", 1e6/each, "1/s", 1e6/move)
	b.results.add("handoffs_per_second", median(rates), "1/s", 1e6/move)
	return nil
}

// bounce hands all clients off and returns how many that were in a second, and
// the processor time that the daemons used for each in microseconds.
func bounce(clients []*benchClient, daemons []int) (rate, used float64, err error) {
	before, err := processorTime(daemons...)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := bounceAll(clients); err != nil {
		return 0, 0, err
	}
	elapsed := time.Since(start)
	after, err := processorTime(daemons...)
	count := float64(benchClients * handoffsEach)
	return count / elapsed.Seconds(), float64((after - before).Microseconds()) / count, err
}

type benchClient struct {
	conn net.Conn
	in   *bufio.Reader
}

// connectAll connects from every address and waits for the first greetings.
func connectAll(ctx context.Context, h *lab.Host, addresses []netip.Addr) ([]*benchClient, error) {
	var clients []*benchClient
	for _, a := range addresses {
		conn, err := dial(ctx, h, a, netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000))
		if err != nil {
			return clients, err
		}
		clients = append(clients, &benchClient{conn, bufio.NewReader(conn)})
	}
	for _, cl := range clients {
		if err := cl.greeted(); err != nil {
			return clients, err
		}
	}
	return clients, nil
}

// bounceAll hands all clients off handoffsEach times, all at once, each as
// soon as it was greeted.
func bounceAll(clients []*benchClient) error {
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, cl := range clients {
		wg.Go(func() {
			for range handoffsEach {
				if _, err := cl.conn.Write([]byte("H")); err != nil {
					errs[i] = err
					return
				}
				if errs[i] = cl.greeted(); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// greetingTimeout is beyond every bound of the daemons.
const greetingTimeout = 60 * time.Second

func (cl *benchClient) greeted() error {
	if err := cl.conn.SetReadDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return err
	}
	for {
		line, err := cl.in.ReadString('\n')
		switch {
		case err != nil:
			return fmt.Errorf("client %v: %w", cl.conn.LocalAddr(), err)
		case strings.HasPrefix(line, "Sorry"):
			return fmt.Errorf("client %v: %s", cl.conn.LocalAddr(), strings.TrimSpace(line))
		case strings.HasPrefix(line, "Hi, "):
			return nil
		}
	}
}

// processorTime is what the processes used so far, user and system.
func processorTime(pids ...int) (total time.Duration, err error) {
	for _, pid := range pids {
		// Another process's clock, as clock_getcpuclockid(3) makes it: its id
		// inverted, and CPUCLOCK_SCHED, which counts nanoseconds.
		const cpuclockSched = 2
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid)<<3|cpuclockSched, &t); err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		total += time.Duration(t.Nano())
	}
	return total, nil
}
