package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	distributionRounds = 3
	legacyEach         = 300 // connections of one round
	// modernEach is less, for a correspondent answers 64 tests a second and link
	// (rr.ResponderConfig), 256 at once, and all of these clients are one.
	modernEach          = 60
	distributionClients = 32 // at once
	acceptLoopPort      = 4001
	echoWorkers         = 2 * distributionClients
)

// measureDistribution counts connections that new clients make with the contact
// address, are distributed to another replica, and end when that has greeted
// them; in turn with a plain accept loop on the contact node's host that greets
// as many. All of it happens on this one machine, the other replica's half and
// the clients too, so the processor time of the contact node's daemon is there
// beside.
func measureDistribution(ctx context.Context, tb lab.TB, b *bench) error {
	if err := cluster.Build(ctx, b.bin, "./cmd/...", "./examples/..."); err != nil {
		return err
	}
	n := lab.Thesis(tb)
	c, err := cluster.New(ctx, tb, n, b.bin, cluster.WithReplicas("glass", "reich"))
	if err != nil {
		return err
	}
	fresh := strangers(n, distributionRounds*modernEach)
	daemons, err := c.StartAll(ctx)
	if err != nil {
		return err
	}
	if _, err := c.StartEcho("reich", echoWorkers); err != nil {
		return err
	}
	if err := c.WaitServing(ctx, daemons, "echo", "reich"); err != nil {
		return err
	}
	plain, err := startAcceptLoop(ctx, n.Glass)
	if err != nil {
		return err
	}
	contact := netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000)
	loop := netip.AddrPortFrom(site("glass").Addr, acceptLoopPort)
	here := make([]netip.Addr, legacyEach) // the host's own address, for all
	for _, kind := range []struct {
		name string
		host *lab.Host
		from func(round int) []netip.Addr
	}{
		{"distributed_modern", n.Modern, func(round int) []netip.Addr {
			return fresh[round*modernEach:][:modernEach]
		}},
		{"distributed_legacy", n.Legacy, func(int) []netip.Addr { return here }},
	} {
		var ours, theirs, oursTime, theirsTime []float64
		for round := range distributionRounds {
			rate, used, err := visitAll(ctx, kind.host, kind.from(round), loop, plain.Pid())
			if err != nil {
				return fmt.Errorf("accept loop: %w", err)
			}
			theirs, theirsTime = append(theirs, rate), append(theirsTime, used)
			if rate, used, err = visitAll(ctx, kind.host, kind.from(round), contact, daemons["glass"].Pid()); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			ours, oursTime = append(ours, rate), append(oursTime, used)
		}
		b.results.add(kind.name+"_per_second", median(ours), "1/s", median(theirs))
		b.results.add(kind.name+"_contact_node", median(oursTime), "µs", median(theirsTime))
	}
	return nil
}

// visitAll makes a connection from each address, some at once, and returns how
// many were greeted in a second, and the processor time that the process used
// for one in microseconds.
func visitAll(ctx context.Context, h *lab.Host, from []netip.Addr, to netip.AddrPort, pid int) (rate, used float64, err error) {
	before, err := processorTime(pid)
	if err != nil {
		return 0, 0, err
	}
	todo := make(chan netip.Addr, len(from))
	for _, a := range from {
		todo <- a
	}
	close(todo)
	errs := make([]error, distributionClients)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range errs {
		wg.Go(func() {
			for a := range todo {
				if errs[i] = visit(ctx, h, a, to); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	after, err := processorTime(pid)
	count := float64(len(from))
	return count / elapsed.Seconds(), float64((after - before).Microseconds()) / count, errors.Join(append(errs, err)...)
}

// visit connects and waits to be greeted.
func visit(ctx context.Context, h *lab.Host, from netip.Addr, to netip.AddrPort) error {
	conn, err := dial(ctx, h, from, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return err
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return fmt.Errorf("client %v: %w", conn.LocalAddr(), err)
	}
	return nil
}

// startAcceptLoop starts this program anew on a host, as acceptLoop.
func startAcceptLoop(ctx context.Context, h *lab.Host) (*lab.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := h.Start([]string{self, "-accept-loop", strconv.Itoa(acceptLoopPort)}, lab.LogName("accept-loop.log"))
	if err != nil {
		return nil, err
	}
	return p, lab.WaitFor(ctx, func() error { return listens(ctx, h, acceptLoopPort) })
}

// acceptLoop is the reference: it greets who connects, and waits for his end.
func acceptLoop(ctx context.Context, port int) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	ln, err := config.Listen(ctx, "tcp6", net.JoinHostPort("::", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return nil // told to end
		}
		go func() {
			defer conn.Close()
			if _, err := io.WriteString(conn, "Hi, and that is all.\r\n"); err == nil {
				_, _ = io.Copy(io.Discard, conn) // whatever ends it
			}
		}()
	}
}
