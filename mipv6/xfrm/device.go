package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// deviceName is how the kernel names our tunnels: it fills in a number.
const (
	devicePrefix = "vanycast"
	deviceName   = devicePrefix + "%d"
)

// ends of a tunnel.
type ends struct{ local, remote netip.Addr }

// device is an ip6tnl interface: IPv6 in IPv6 between two addresses. Those who
// use it are contact addresses (at a replica), or home addresses (at a home agent):
// what comes out of it must be for the ones, or from the others.
type device struct {
	ends
	link  netlink.Link
	users map[netip.Addr]uint32     // by the handle of their filter
	holds map[dataplane.Flow]uint32 // by the handle of theirs, see hold.go
	role  role
	// narrow is the MTU inside while the path is too narrow for the least that
	// an interface can have; 0: it is not.
	narrow int
	until  time.Time
}

// role is which half of a tunnel the device is, for the counters.
type role uint8

const (
	replicaEnd role = iota
	agentEnd
)

func (r role) field() field {
	if r == agentEnd {
		return source
	}
	return destination
}

// useDevice finds or makes the tunnel, and lets pass what comes out of it for, or
// from, the address.
func (p *Plane) useDevice(e ends, user netip.Addr, r role) (*device, error) {
	d, ok := p.devices[e]
	if !ok {
		var err error
		if d, err = p.makeDevice(e, r); err != nil {
			return nil, err
		}
		p.devices[e] = d
	}
	if _, ok := d.users[user]; ok {
		return d, nil
	}
	handle, err := p.newFilter(d.link, match(filter(d.link, ingress, preferenceAllow, freeHandle(d.users)), netlink.TC_ACT_OK, address(r.field(), user)))
	if err != nil {
		return nil, errors.Join(err, p.releaseDevice(d, user))
	}
	d.users[user] = handle
	return d, nil
}

// releaseDevice takes it away with its last user.
func (p *Plane) releaseDevice(d *device, user netip.Addr) error {
	if d == nil {
		return nil
	}
	if handle, ok := d.users[user]; ok {
		if len(d.users) > 1 {
			if err := p.deleteFilter(filter(d.link, ingress, preferenceAllow, handle)); err != nil {
				return err
			}
		}
		delete(d.users, user)
	}
	if len(d.users) > 0 {
		return nil
	}
	p.keepDeviceCounters(d)
	if err := p.deleteLink(d.link); err != nil {
		return err
	}
	delete(p.devices, d.ends)
	return nil
}

func (p *Plane) deleteLink(link netlink.Link) error {
	err := p.host.Netlink.LinkDel(link)
	if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("removing %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// makeDevice makes an interface that is silent by itself: without link-local
// address it asks for no router and reports no group.
func (p *Plane) makeDevice(e ends, r role) (*device, error) {
	failed := func(err error) (*device, error) {
		return nil, fmt.Errorf("tunnel from %v to %v: %w", e.local, e.remote, err)
	}
	mtu, err := p.deviceMTU()
	if err != nil {
		return failed(err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = deviceName, mtu
	const ignoreEncapsulationLimit = 1 // IP6_TNL_F_IGN_ENCAP_LIMIT
	tunnel := &netlink.Ip6tnl{
		LinkAttrs: attributes, Local: e.local.AsSlice(), Remote: e.remote.AsSlice(),
		Ttl: 64, Proto: unix.IPPROTO_IPV6, Flags: ignoreEncapsulationLimit,
	}
	if err := p.host.Netlink.LinkAdd(tunnel); errors.Is(err, unix.EEXIST) {
		return failed(fmt.Errorf("%w: this host has such a tunnel, not by us", dataplane.ErrConflict))
	} else if err != nil {
		return failed(dataplane.Explain(err, "CONFIG_IPV6_TUNNEL"))
	}
	link, err := p.findDevice(e)
	if err != nil {
		return failed(err)
	}
	d := &device{ends: e, link: link, users: map[netip.Addr]uint32{}, holds: map[dataplane.Flow]uint32{}, role: r}
	const noAddress = 1 // IN6_ADDR_GEN_MODE_NONE
	err = p.host.Netlink.LinkSetIP6AddrGenMode(link, noAddress)
	if err == nil {
		_, err = hostnet.EnsureClsact(p.host.Netlink, link)
	}
	if err == nil {
		err = p.addFilter(match(filter(link, ingress, preferenceRest, 0), netlink.TC_ACT_SHOT))
	}
	if err == nil {
		err = p.addFilter(match(filter(link, egress, preferenceAllow, 0), netlink.TC_ACT_OK, nextHeader(protocolMobility)))
	}
	if err == nil && p.beside != nil && r == replicaEnd {
		err = p.beside.AttachMouth(link)
	}
	if err == nil {
		err = p.host.Netlink.LinkSetUp(link)
	}
	if err != nil {
		return failed(errors.Join(err, p.deleteLink(link)))
	}
	return d, nil
}

// findDevice finds the interface that the kernel has named.
func (p *Plane) findDevice(e ends) (netlink.Link, error) {
	links, err := p.ourLinks()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		t := link.(*netlink.Ip6tnl)
		local, _ := netip.AddrFromSlice(t.Local)
		remote, _ := netip.AddrFromSlice(t.Remote)
		if local == e.local && remote == e.remote {
			return link, nil
		}
	}
	return nil, errors.New("the interface that was made is not there")
}

// ourLinks are the tunnels of this and of dead processes.
func (p *Plane) ourLinks() (list []netlink.Link, err error) {
	links, err := p.host.Netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		if _, ok := link.(*netlink.Ip6tnl); ok && strings.HasPrefix(link.Attrs().Name, devicePrefix) {
			list = append(list, link)
		}
	}
	return list, nil
}

// deviceMTU leaves room for the outer header; IPv6 wants 1280 of any link, and
// what is longer than the way is then cut outside (RFC 2473 §7.1).
func (p *Plane) deviceMTU() (int, error) {
	mtu, err := p.host.MTU()
	return max(mtu-hostnet.Overhead, pathmtu.MinimumMTU), err
}

// through is the route into the tunnel. Its advertised segment size holds for the
// optimised traffic too, which is looked up here first.
func (p *Plane) through(d *device, to netip.Prefix, table int) (*netlink.Route, error) {
	mtu, err := p.deviceMTU()
	r := &netlink.Route{
		LinkIndex: d.link.Attrs().Index, Dst: hostnet.IPNet(to), Table: table,
		Protocol: hostnet.Protocol, Priority: 1024, AdvMSS: segment(mtu),
	}
	if d.narrow > 0 {
		r.MTU, r.AdvMSS = d.narrow, segment(d.narrow)
	}
	return r, err
}

// segment is the TCP segment size of an MTU: less the IPv6 and the TCP header.
func segment(mtu int) int { return mtu - 60 }
