package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// forwarded is an address of glass in the home prefix that the home agent's host
// forwards to by its kernel alone, on the same path as the contact address.
const forwarded = "2001:db8:9::200"

// returnTable is the router's, for what glass sends from that address.
const returnTable = "98"

// measureHomeAgent compares what a home agent forwards through its tunnels with
// what its kernel forwards plainly: the same hosts, the same links, both ways by
// the home agent's host, the same MTU. A client without Mobile IPv6 talks to
// glass, in turn at the contact address and at a plain one.
//
//	legacy ── router ── ha ── router ── glass
func measureHomeAgent(ctx context.Context, tb lab.TB, b *bench) error {
	n := lab.Thesis(tb)
	contact, agent, plain := netip.MustParseAddr(lab.ContactAddress), netip.MustParseAddr(lab.HomeAgent), netip.MustParseAddr(forwarded)
	glass := site("glass")
	if err := withPlane(tb, n.Glass, func(p dataplane.Plane) error {
		return p.SetContact(dataplane.Contact{Home: contact, CareOf: glass.Addr, HomeAgent: agent})
	}); err != nil {
		return fmt.Errorf("glass: %w", err)
	}
	if err := withPlane(tb, n.HA, func(p dataplane.Plane) error {
		return p.SetTunnel(dataplane.Tunnel{Home: contact, CareOf: glass.Addr, HomeAgent: agent})
	}); err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	// No daemon defends the addresses on the home link.
	for _, a := range []netip.Addr{contact, plain} {
		n.Router.Route(netip.PrefixFrom(a, 128), agent)
	}
	n.Glass.Addr("lo", netip.PrefixFrom(plain, 128))
	mtu := strconv.Itoa(plainMTU)
	n.HA.IP("-6", "route", "add", plain.String(), "via", lab.HomeRouter, "mtu", mtu)
	// From the home agent it goes on to glass, and what glass answers to the home
	// agent first.
	n.Router.IP("-6", "route", "add", plain.String(), "via", glass.Addr.String(), "table", returnTable)
	n.Router.IP("-6", "rule", "add", "to", plain.String(), "iif", "home", "lookup", returnTable)
	n.Router.IP("-6", "route", "add", "default", "via", lab.HomeAgent, "table", returnTable)
	n.Router.IP("-6", "rule", "add", "from", plain.String(), "iif", "glass", "lookup", returnTable)
	legacy := site("legacy")
	n.Glass.IP("-6", "route", "add", legacy.Prefix.String(), "via", glass.Router.String(), "mtu", mtu)
	n.Legacy.IP("-6", "route", "add", plain.String(), "via", legacy.Router.String(), "mtu", mtu)
	// They may hear that there is a shorter way, and must not take it.
	for _, h := range []*lab.Host{n.Glass, n.Legacy} {
		h.Sysctl("net.ipv6.conf.eth0.accept_redirects", "0")
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
			for name, address := range map[string]string{"plain": forwarded, "tunnel": lab.ContactAddress} {
				bits, err := iperf(ctx, n.Legacy, address, direction == "down")
				if err != nil {
					return fmt.Errorf("%s %s: %w", name, direction, err)
				}
				samples[name+" "+direction] = append(samples[name+" "+direction], bits/1e9)
			}
		}
	}
	for _, direction := range []string{"up", "down"} {
		b.results.add("home_agent_forwarding_"+direction, median(samples["tunnel "+direction]), "Gb/s", median(samples["plain "+direction]))
	}
	return nil
}
