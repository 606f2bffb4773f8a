package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// open gets what the host's links, addresses and routes are made with, by this
// process: a laboratory has a hundred of them, and starting ip(8) for each took
// most of a short test's time.
func (h *Host) open() error {
	return h.Do(func() (err error) {
		if h.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("lab: netlink on %s: %w", h.name, err)
		}
		return nil
	})
}

// do ends the test if something did not work on the host; what says how ip(8)
// would be told.
func (h *Host) do(err error, what ...any) {
	h.net.tb.Helper()
	if err != nil {
		h.net.tb.Fatalf("lab: on %s: %s: %v", h.name, fmt.Sprint(what...), err)
	}
}

// Up sets interfaces up.
func (h *Host) Up(ifaces ...string) {
	h.net.tb.Helper()
	for _, iface := range ifaces {
		h.do(h.netlink.LinkSetUp(named(iface)), "link set ", iface, " up")
	}
}

// Bridge makes a bridge of interfaces of the host, and sets it up.
func (h *Host) Bridge(name string, ports ...string) {
	h.net.tb.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	b.Name = name
	h.do(h.netlink.LinkAdd(b), "link add ", name, " type bridge")
	for _, port := range ports {
		h.do(h.netlink.LinkSetMaster(named(port), b), "link set ", port, " master ", name)
	}
	h.Up(name)
}

// Addr gives an interface an address with its prefix length, usable at once.
func (h *Host) Addr(iface string, prefix netip.Prefix) {
	h.net.tb.Helper()
	addr := &netlink.Addr{IPNet: ipNet(prefix), Flags: unix.IFA_F_NODAD}
	h.do(h.netlink.AddrAdd(named(iface), addr), "addr add ", prefix, " dev ", iface, " nodad")
	h.awaitFor(func() error {
		routes, err := h.netlink.RouteGet(addr.IP)
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			return errors.Join(fmt.Errorf("%v is not usable yet: %v", addr, routes), err)
		}
		return nil
	})
}

// Settle waits, for a moment at most, until all addresses of the host are in its
// table of local routes, and its links are known to be up: the kernel gets there by
// itself, a little later.
func (h *Host) Settle() {
	h.awaitFor(func() error {
		links, err := h.netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if a := l.Attrs(); l.Type() == "veth" && a.Flags&net.FlagUp != 0 && a.OperState == netlink.OperUnknown {
				return fmt.Errorf("%s is not known to be up yet", a.Name)
			}
		}
		addrs, err := h.netlink.AddrList(nil, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		routes, err := h.netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if a.Flags&unix.IFA_F_TENTATIVE != 0 || !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.IP.Equal(a.IP) }) {
				return fmt.Errorf("%v is not usable yet", a)
			}
		}
		return nil
	})
}

// awaitFor waits a second: an address of a link that is down is never usable.
func (h *Host) awaitFor(cond func() error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = WaitFor(ctx, cond)
}

// Route adds a route; the default route is ::/0.
func (h *Host) Route(to netip.Prefix, via netip.Addr) {
	h.net.tb.Helper()
	route := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}
	h.do(h.netlink.RouteAdd(route), "route add ", to, " via ", via)
}

// veth makes a link of two hosts.
func veth(a, b *Host, names [2]string, mtu int) error {
	peer, err := os.Open(namespaceDir + "/" + b.ns)
	if err != nil {
		return err
	}
	defer peer.Close()
	link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: names[1], PeerNamespace: netlink.NsFd(peer.Fd()), PeerTxQLen: -1}
	link.Name, link.MTU = names[0], mtu
	return a.netlink.LinkAdd(link)
}

// named is an interface of which the name is known: the library asks the kernel for
// its index.
func named(iface string) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: iface}}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
