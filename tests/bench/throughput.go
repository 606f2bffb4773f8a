package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	iperfRounds  = 7
	iperfSeconds = 1
	iperfPort    = 5201
	// plainMTU is the MTU that rewritten traffic has on a 1500 byte link:
	// plain traffic is given the same, or the comparison would be of MTUs.
	plainMTU = 1500 - 40
)

// way is one way for the same traffic between a client and glass.
type way struct {
	name   string
	client string // host
	server string // address of glass to connect to
}

var ways = []way{
	{"plain", "adams", "2001:db8:1::10"},
	{"optimised", "modern", lab.ContactAddress},
	{"tunnelled", "legacy", lab.ContactAddress},
}

// measureThroughput runs iperf3 in turn over plain IPv6, a route-optimised and
// a tunnelled path, both directions, so that what disturbs the machine
// disturbs all alike. The state that the signalling would have set is declared
// to the data planes by hand.
func measureThroughput(ctx context.Context, tb lab.TB, b *bench) error {
	n := lab.Thesis(tb)
	if err := declare(tb, n); err != nil {
		return err
	}
	server, err := n.Glass.Start([]string{"iperf3", "-s", "-p", strconv.Itoa(iperfPort)})
	if err != nil {
		return err
	}
	defer func() { _ = server.Kill9() }() // it calls SIGTERM a failure
	if err := lab.WaitFor(ctx, func() error { return iperfListens(ctx, n) }); err != nil {
		return err
	}
	samples := map[string][]float64{}
	for range iperfRounds {
		for _, direction := range []string{"up", "down"} {
			for _, w := range ways {
				bits, err := iperf(ctx, n.Lookup(w.client), w.server, direction == "down")
				if err != nil {
					return fmt.Errorf("%s %s: %w", w.name, direction, err)
				}
				key := w.name + " " + direction
				samples[key] = append(samples[key], bits/1e9)
			}
		}
	}
	for _, w := range ways[1:] {
		for _, direction := range []string{"up", "down"} {
			b.results.add(fmt.Sprintf("throughput_%s_%s", w.name, direction),
				median(samples[w.name+" "+direction]), "Gb/s", median(samples["plain "+direction]))
		}
	}
	return nil
}

// declare sets the data planes of glass, modern and ha, and the plain path's
// MTU.
func declare(tb lab.TB, n *lab.ThesisNet) error {
	contact, agent := netip.MustParseAddr(lab.ContactAddress), netip.MustParseAddr(lab.HomeAgent)
	glass, modern := site("glass"), site("modern")
	for _, step := range []struct {
		host *lab.Host
		set  func(dataplane.Plane) error
	}{
		{n.Glass, func(p dataplane.Plane) error {
			return errors.Join(
				p.SetContact(dataplane.Contact{Home: contact, CareOf: glass.Addr, HomeAgent: agent}),
				p.SetRoute(dataplane.Flow{Home: contact, Client: modern.Addr}, dataplane.Route{Kind: dataplane.Optimised}))
		}},
		{n.Modern, func(p dataplane.Plane) error {
			return p.SetBinding(dataplane.Binding{Local: modern.Addr, Home: contact, CareOf: glass.Addr})
		}},
		{n.HA, func(p dataplane.Plane) error {
			return p.SetTunnel(dataplane.Tunnel{Home: contact, CareOf: glass.Addr, HomeAgent: agent})
		}},
	} {
		if err := withPlane(tb, step.host, step.set); err != nil {
			return fmt.Errorf("%s: %w", step.host.Name(), err)
		}
	}
	// No daemon defends the contact address on the home link.
	n.Router.Route(netip.PrefixFrom(contact, 128), agent)
	for _, pair := range [][2]string{{"glass", "adams"}, {"adams", "glass"}} {
		from, to := site(pair[0]), site(pair[1])
		n.Lookup(pair[0]).IP("-6", "route", "add", to.Prefix.String(), "via", from.Router.String(), "mtu", strconv.Itoa(plainMTU))
	}
	return nil
}

// withPlane makes a data plane on a host and lets set declare its state.
func withPlane(tb lab.TB, h *lab.Host, set func(dataplane.Plane) error) error {
	return h.Do(func() error {
		p, err := tcbpf.New(tcbpf.Config{Interface: "eth0", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		tb.Cleanup(func() { _ = h.Do(p.Close) })
		return set(p)
	})
}

func site(name string) lab.Site {
	s, ok := lab.SiteOf(name)
	if !ok {
		panic("bench: no host " + name) // a mistake in this file
	}
	return s
}

func iperfListens(ctx context.Context, n *lab.ThesisNet) error {
	return listens(ctx, n.Glass, iperfPort)
}

// listens is nil once somebody on the host listens at the port.
func listens(ctx context.Context, h *lab.Host, port int) error {
	out, err := h.Output(ctx, "ss", "-6ltnH", "sport", "=", strconv.Itoa(port))
	if err == nil && out == "" {
		err = fmt.Errorf("nobody listens at port %d yet", port)
	}
	return err
}

// iperf measures one run in bits per second, as the receiver saw it.
func iperf(ctx context.Context, h *lab.Host, server string, down bool) (float64, error) {
	args := []string{"-6", "-c", server, "-p", strconv.Itoa(iperfPort), "-C", "cubic", "-t", strconv.Itoa(iperfSeconds), "-J"}
	if down {
		args = append(args, "-R")
	}
	out, err := h.Output(ctx, "iperf3", args...)
	var report struct {
		Error string `json:"error"`
		End   struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if e := json.Unmarshal([]byte(out), &report); err == nil {
		err = e
	}
	switch {
	case report.Error != "":
		return 0, errors.New("iperf3: " + report.Error)
	case err != nil:
		return 0, err
	case report.End.SumReceived.BitsPerSecond == 0:
		return 0, errors.New("iperf3: nothing arrived")
	}
	return report.End.SumReceived.BitsPerSecond, nil
}
