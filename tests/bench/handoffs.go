package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	// benchClients is how many clients are handed off at once. Each has an
	// address of its own, for all connections between a client's address and
	// a contact address travel the same way; and many are needed, for RFC 6275
	// allows a replica only MAX_UPDATE_RATE bindings a second at one client.
	benchClients = 300
	// handoffsEach is how often each client is handed off.
	handoffsEach = 10
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
	addresses := clientAddresses(n)
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
	both := []*cluster.Daemon{daemons["glass"], daemons["reich"]}
	before, err := processorTime(both)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := bounceAll(clients); err != nil {
		return err
	}
	elapsed := time.Since(start)
	after, err := processorTime(both)
	if err != nil {
		return err
	}
	count := float64(benchClients * handoffsEach)
	bare := b.bare
	if bare == 0 { // the part was not asked for
		if bare, err = bareMove(ctx, tb, 0); err != nil {
			return err
		}
	}
	b.results.add("handoffs_per_second", count/elapsed.Seconds(), "1/s", 1e6/bare)
	b.results.add("handoff_processor_time", float64((after-before).Microseconds())/count, "µs", bare)
	return nil
}

// clientAddresses gives modern an address for each client.
func clientAddresses(n *lab.ThesisNet) []netip.Addr {
	modern, _ := lab.SiteOf("modern")
	addresses := make([]netip.Addr, benchClients)
	bytes := modern.Prefix.Addr().As16()
	bytes[13] = 1
	for i := range addresses {
		bytes[14], bytes[15] = byte(i>>8), byte(i)
		addresses[i] = netip.AddrFrom16(bytes)
		n.Modern.Addr("eth0", netip.PrefixFrom(addresses[i], modern.Prefix.Bits()))
	}
	return addresses
}

type benchClient struct {
	conn net.Conn
	in   *bufio.Reader
}

// connectAll connects from every address and waits for the first greetings.
func connectAll(ctx context.Context, h *lab.Host, addresses []netip.Addr) ([]*benchClient, error) {
	var clients []*benchClient
	for _, a := range addresses {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: a.AsSlice()}, Timeout: 10 * time.Second}
		err := h.Do(func() error {
			conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(lab.ContactAddress, "4000"))
			if err == nil {
				clients = append(clients, &benchClient{conn, bufio.NewReader(conn)})
			}
			return err
		})
		if err != nil {
			return clients, err
		}
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

// ticksPerSecond is the unit of processor time in /proc, the same on every
// architecture that Go runs on.
const ticksPerSecond = 100

// processorTime is what the daemons used so far, user and system.
func processorTime(daemons []*cluster.Daemon) (time.Duration, error) {
	total := 0
	for _, d := range daemons {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(d.Pid()) + "/stat")
		if err != nil {
			return 0, err
		}
		// utime and stime are fields 14 and 15 of proc(5), the name in
		// parentheses is field 2.
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: cannot be read", d.Pid())
		}
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", d.Pid(), err)
			}
			total += ticks
		}
	}
	return time.Duration(total) * time.Second / ticksPerSecond, nil
}
