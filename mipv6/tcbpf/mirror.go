package tcbpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// hop is how the host sends to some address by our interface: comparable.
type hop struct {
	gateway netip.Addr // link-layer destination: a router, or the address itself
	mtu     int        // of what may be sent there before our headers are added
}

// lookup asks the kernel, as `ip route get to from source` does. An answer that
// leaves by another interface, or none, is dataplane.ErrUnreachable.
func (p *Plane) lookup(to, source netip.Addr) (hop, error) {
	routes, err := p.nl.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: source.AsSlice()})
	if err != nil {
		return hop{}, fmt.Errorf("route to %v from %v: %w: %w", to, source, dataplane.ErrUnreachable, err)
	}
	if len(routes) == 0 {
		return hop{}, fmt.Errorf("route to %v from %v: %w", to, source, dataplane.ErrUnreachable)
	}
	r := routes[0]
	if r.LinkIndex != p.link.Attrs().Index || r.Type != unix.RTN_UNICAST {
		return hop{}, fmt.Errorf("route to %v from %v does not leave by %s: %w", to, source, p.cfg.Interface, dataplane.ErrUnreachable)
	}
	mtu, err := p.mtu.read()
	if err != nil {
		return hop{}, fmt.Errorf("MTU of %s: %w", p.cfg.Interface, err)
	}
	// The path may be known to be narrower: by configuration, or learnt.
	if r.MTU > 0 && r.MTU < mtu {
		mtu = r.MTU
	}
	h := hop{gateway: to, mtu: mtu - overhead}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok && !gw.IsUnspecified() {
		h.gateway = gw
	}
	return h, nil
}

// ends are where packets go and what their source is then.
type ends struct{ to, source netip.Addr }

// hopTo is lookup, remembered for the moment: a handoff asks for the same client
// and peer several times. The host's changes end what is remembered (follow.go).
func (p *Plane) hopTo(to, source netip.Addr) (hop, error) {
	const most = 4096
	if h, ok := p.hops[ends{to, source}]; ok {
		return h, nil
	}
	h, err := p.lookup(to, source)
	if err != nil {
		return hop{}, err
	}
	if len(p.hops) >= most {
		clear(p.hops)
	}
	p.hops[ends{to, source}] = h
	return h, nil
}

// route is the kernel's form of a route of ours to dst (a host, or ::/0).
func (p *Plane) route(dst netip.Prefix, table int, h hop) *netlink.Route {
	r := &netlink.Route{
		LinkIndex: p.link.Attrs().Index,
		Dst:       ipNet(dst),
		Table:     table,
		Protocol:  protocol,
		Priority:  1024,
		MTU:       h.mtu,
	}
	if h.gateway != dst.Addr() {
		r.Gw = h.gateway.AsSlice()
		r.Flags = int(netlink.FLAG_ONLINK) // a gateway may be known by another table's routes only
	}
	return r
}

// setRoute puts a route in place and remembers it in *installed.
func (p *Plane) setRoute(installed **netlink.Route, r *netlink.Route) error {
	if err := p.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("route to %v in table %d: %w", r.Dst, r.Table, err)
	}
	*installed = r
	return nil
}

// deleteRoute takes a route away; none, or one that has gone with its link,
// is no error.
func (p *Plane) deleteRoute(r *netlink.Route) error {
	if r == nil {
		return nil
	}
	if err := p.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing route to %v from table %d: %w", r.Dst, r.Table, err)
	}
	return nil
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

var everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// mtuFile reads the interface's IPv6 MTU, which a router advertisement can make
// smaller than the link's. The open file stays with the namespace that it was
// opened in, whatever thread reads it.
type mtuFile struct{ file *os.File }

func openMTU(iface string) (*mtuFile, error) {
	f, err := os.Open("/proc/sys/net/ipv6/conf/" + strings.ReplaceAll(iface, ".", "/") + "/mtu")
	if err != nil {
		return nil, fmt.Errorf("IPv6 on %s: %w", iface, err)
	}
	return &mtuFile{f}, nil
}

func (m *mtuFile) read() (int, error) {
	var b [16]byte
	n, err := m.file.ReadAt(b[:], 0)
	if n == 0 {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b[:n])))
}

// Close closes the file.
func (m *mtuFile) Close() error { return m.file.Close() }
