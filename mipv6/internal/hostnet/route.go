package hostnet

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

// Hop is how the host sends to some address by our interface: comparable.
type Hop struct {
	Gateway netip.Addr // link-layer destination: a router, or the address itself
	MTU     int        // of what may be sent there before our headers are added
}

// Lookup asks the kernel, as `ip route get to from source` does. An answer that
// leaves by another interface, or none, is dataplane.ErrUnreachable.
func (h *Host) Lookup(to, source netip.Addr) (Hop, error) {
	routes, err := h.Netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: source.AsSlice()})
	if err != nil {
		return Hop{}, fmt.Errorf("route to %v from %v: %w: %w", to, source, dataplane.ErrUnreachable, err)
	}
	if len(routes) == 0 {
		return Hop{}, fmt.Errorf("route to %v from %v: %w", to, source, dataplane.ErrUnreachable)
	}
	r := routes[0]
	if r.LinkIndex != h.Link.Attrs().Index || r.Type != unix.RTN_UNICAST {
		return Hop{}, fmt.Errorf("route to %v from %v does not leave by %s: %w", to, source, h.Link.Attrs().Name, dataplane.ErrUnreachable)
	}
	mtu, err := h.MTU()
	if err != nil {
		return Hop{}, err
	}
	// The path may be known to be narrower: by configuration, or learnt.
	if r.MTU > 0 && r.MTU < mtu {
		mtu = r.MTU
	}
	way := Hop{Gateway: to, MTU: mtu - Overhead}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok && !gw.IsUnspecified() {
		way.Gateway = gw
	}
	return way, nil
}

// Route is the kernel's form of a route of ours to dst (a host, or ::/0).
func (h *Host) Route(dst netip.Prefix, table int, way Hop) *netlink.Route {
	r := &netlink.Route{
		LinkIndex: h.Link.Attrs().Index,
		Dst:       IPNet(dst),
		Table:     table,
		Protocol:  Protocol,
		Priority:  1024,
		MTU:       way.MTU,
	}
	if way.Gateway != dst.Addr() {
		r.Gw = way.Gateway.AsSlice()
		r.Flags = int(netlink.FLAG_ONLINK) // a gateway may be known by another table's routes only
	}
	return r
}

// SetRoute puts a route in place and remembers it in *installed.
func (h *Host) SetRoute(installed **netlink.Route, r *netlink.Route) error {
	if err := h.Netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("route to %v in table %d: %w", r.Dst, r.Table, err)
	}
	*installed = r
	return nil
}

// DeleteRoute takes a route away; none, or one that has gone with its link,
// is no error.
func (h *Host) DeleteRoute(r *netlink.Route) error {
	if r == nil {
		return nil
	}
	if err := h.Netlink.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing route to %v from table %d: %w", r.Dst, r.Table, err)
	}
	return nil
}

// Single is the prefix of one address.
func Single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Everywhere is the default route's destination.
var Everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// IPNet is the prefix in the form of the netlink library.
func IPNet(p netip.Prefix) *net.IPNet {
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

// MTU is the interface's; safe for concurrent use.
func (h *Host) MTU() (int, error) {
	mtu, err := h.mtu.read()
	if err != nil {
		return 0, fmt.Errorf("MTU of %s: %w", h.Link.Attrs().Name, err)
	}
	return mtu, nil
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
