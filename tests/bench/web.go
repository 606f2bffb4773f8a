package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	pageFetches = 150
	pageBytes   = 10 << 10
)

// measureWeb is the thesis's §6.3.2 again: how long one client that does what
// wget does waits for a page of 10 kB of Apache, from its SYN to the last byte:
// straight from reich's Apache, and distributed: by way of the contact address
// and its node, glass, from vanyproxy and Apache on reich. Each fetch is of a
// client that nobody knows yet, and accepted by glass, so that return routability and
// the handoff are in it. Between the two there is what does not distribute: the contact address
// of another service, whose contact node is reich itself.
func measureWeb(ctx context.Context, tb lab.TB, b *bench) error {
	if err := cluster.Build(ctx, b.bin, "./cmd/..."); err != nil {
		return err
	}
	n := lab.Thesis(tb)
	distributed := netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 80)
	local := netip.AddrPortFrom(distributed.Addr().Next(), 80)
	c, err := cluster.New(ctx, tb, n, b.bin, cluster.WithReplicas("glass", "reich"), cluster.WithServices(
		cluster.Service{Name: "www", Contact: distributed, NeverSelf: true, Extra: []string{"steer = false"}},
		cluster.Service{Name: "local", Contact: local, ContactNodes: []string{"reich"}, Policy: "local"},
	))
	if err != nil {
		return err
	}
	fresh := strangers(n, 2*pageFetches)
	daemons, err := c.StartAll(ctx)
	if err != nil {
		return err
	}
	if err := c.StartApache(ctx, "reich", map[string]string{"page": strings.Repeat("x", pageBytes)}); err != nil {
		return err
	}
	for s, policy := range map[string]string{"www": "random", "local": "local"} {
		if _, err := c.StartServer("reich", "vanyproxy", "-service", s, "-policy", policy, "-a", strconv.Itoa(cluster.ApachePort), "-s", "::1"); err != nil {
			return err
		}
		if err := c.WaitServing(ctx, daemons, s, "reich"); err != nil {
			return err
		}
	}
	times := map[string][]float64{}
	for i := range pageFetches {
		for _, f := range []struct {
			name string
			host *lab.Host
			from netip.Addr
			to   netip.AddrPort
		}{
			{"direct", n.Modern, fresh[2*i], netip.AddrPortFrom(site("reich").Addr, cluster.ApachePort)},
			{"local", n.Modern, fresh[2*i], local},
			{"modern", n.Modern, fresh[2*i+1], distributed},
			{"legacy", n.Legacy, netip.Addr{}, distributed},
		} {
			ms, err := fetch(ctx, f.host, f.from, f.to)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			times[f.name] = append(times[f.name], ms)
		}
	}
	undistributed := median(times["local"])
	b.results.add("page_undistributed", undistributed, "ms", median(times["direct"]))
	b.results.add("page_distributed_modern", median(times["modern"]), "ms", undistributed)
	b.results.add("page_distributed_legacy", median(times["legacy"]), "ms", undistributed)
	return nil
}

// fetch gets the page and returns the milliseconds from before the SYN to the
// end.
func fetch(ctx context.Context, h *lab.Host, from netip.Addr, to netip.AddrPort) (float64, error) {
	start := time.Now()
	conn, err := dial(ctx, h, from, to)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET /page HTTP/1.1\r\nHost: %v\r\nUser-Agent: bench\r\nAccept: */*\r\nConnection: close\r\n\r\n", to); err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(conn)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	if _, page, ok := strings.Cut(string(answer), "\r\n\r\n"); !ok || len(page) != pageBytes {
		return 0, fmt.Errorf("%d bytes, and not the page", len(answer))
	}
	return float64(took.Microseconds()) / 1000, nil
}
