package xfrm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// The kernel's policies do not see by which interface a packet came, so some
// things are said by filters (tc u32, on the qdisc clsact):
//
//   - What comes by the plane's interface and is addressed to a contact address as
//     it is, neither tunnelled nor with a routing header, is dropped; but not its
//     Mobility Headers where IPsec's policies see to them (Config.Protected).
//   - What would leave there with a contact address as source is dropped: what we
//     rewrite has the care-of address.
//   - What comes out of a tunnel and is not for a contact address, or from a
//     registered home address, is dropped.
//   - What a held flow sends is dropped at the tunnel's mouth (see hold.go).
//
// They stay when the process dies.

// Preferences of the filters. That of the interface's tells whether its qdisc was
// made by us too, so that whoever takes them off, also after a crash, takes it along.
const (
	preferenceAllow = ours     // in and out of tunnels
	preferenceRest  = ours + 1 // in tunnels: what is not allowed
	preferenceHeld  = ours + 1 // out of tunnels

	preferenceTheirs = ours     // on the interface
	preferenceOurs   = ours + 1 // on the interface, whose qdisc is ours
)

// hook is a place on an interface.
type hook uint32

const (
	ingress hook = netlink.HANDLE_MIN_INGRESS
	egress  hook = netlink.HANDLE_MIN_EGRESS
)

// field is what a filter looks at: an address, by its offset in the IPv6 header.
type field int32

const (
	source      field = 8
	destination field = 24
)

// A filter's handle is its hash table and its number there; the kernel chooses
// both where they are zero.
const (
	tableMask = 0xfff << 20
	// maxNumber is the last number that the kernel does not choose by itself.
	maxNumber = 0x7ff
)

// filter is one of ours.
func filter(link netlink.Link, at hook, preference uint16, handle uint32) *netlink.U32 {
	return &netlink.U32{FilterAttrs: netlink.FilterAttrs{
		LinkIndex: link.Attrs().Index,
		Parent:    uint32(at),
		Priority:  preference,
		Protocol:  unix.ETH_P_IPV6,
		Handle:    handle,
	}}
}

// match makes the filter look for these keys, all of them, and give a verdict;
// without keys it matches everything.
func match(f *netlink.U32, verdict netlink.TcAct, keys ...[]netlink.TcU32Key) *netlink.U32 {
	all := slices.Concat(keys...)
	if len(all) == 0 {
		all = make([]netlink.TcU32Key, 1)
	}
	f.Sel = &netlink.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: uint8(len(all)), Keys: slices.Clip(all)}
	f.Actions = []netlink.Action{&netlink.GenericAction{ActionAttrs: netlink.ActionAttrs{Action: verdict}}}
	return f
}

// address is the keys for an address of the IPv6 header.
func address(at field, a netip.Addr) []netlink.TcU32Key {
	raw := a.As16()
	keys := make([]netlink.TcU32Key, 4)
	for i := range keys {
		keys[i] = netlink.TcU32Key{Mask: ^uint32(0), Val: binary.BigEndian.Uint32(raw[4*i:]), Off: int32(at) + int32(4*i)}
	}
	return keys
}

// nextHeader is the key for what follows the IPv6 header.
func nextHeader(protocol uint8) []netlink.TcU32Key {
	return []netlink.TcU32Key{{Mask: 0xff00, Val: uint32(protocol) << 8, Off: 4}}
}

func (p *Plane) addFilter(f *netlink.U32) error {
	if err := p.host.Netlink.FilterAdd(f); err != nil {
		return fmt.Errorf("filter of %v: %w", f.Attrs(), dataplane.Explain(err, "CONFIG_NET_CLS_U32 or CONFIG_NET_ACT_GACT"))
	}
	return nil
}

// newFilter adds it; where the kernel is to choose its handle, it says which.
func (p *Plane) newFilter(link netlink.Link, f *netlink.U32) (uint32, error) {
	if err := p.addFilter(f); err != nil || f.Handle != 0 {
		return f.Handle, err
	}
	list, err := p.host.Netlink.FilterList(link, f.Parent)
	if err != nil {
		return 0, fmt.Errorf("listing filters of %s: %w", link.Attrs().Name, err)
	}
	for _, other := range list {
		if u, ok := other.(*netlink.U32); ok && isOurs(u) && u.Priority == f.Priority && u.Sel != nil && slices.Equal(u.Sel.Keys, f.Sel.Keys) {
			return u.Handle, nil
		}
	}
	return 0, fmt.Errorf("the filter of %v is not there", f.Attrs())
}

// freeHandle is a handle for one more filter beside those of the same link, hook
// and preference. It is 0 for the first, whose table the others share, and for
// those that are more than we number.
func freeHandle[K comparable](handles map[K]uint32) uint32 {
	taken := make(map[uint32]bool, len(handles))
	table := uint32(0)
	for _, handle := range handles {
		table = handle & tableMask
		taken[handle] = true
	}
	if table == 0 {
		return 0
	}
	for n := uint32(1); n <= maxNumber; n++ {
		if !taken[table|n] {
			return table | n
		}
	}
	return 0
}

func (p *Plane) deleteFilter(f *netlink.U32) error {
	err := p.host.Netlink.FilterDel(f)
	for _, gone := range []error{unix.ENOENT, unix.EINVAL, unix.ENODEV} { // filter, qdisc, link
		if errors.Is(err, gone) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("removing the filter of %v: %w", f.Attrs(), err)
	}
	return nil
}

// guard keeps a contact address from being used natively. It outlives the contact
// address, for a socket may be bound to it still, until Close.
type guard struct {
	handles map[hook]uint32 // of its filters
	opening uint32          // of the filter that lets Mobility Headers in; 0: there is none
	gone    bool            // the contact address is
	counted uint64          // packets out that were dropped before it was
}

// setGuard puts both filters of a contact address on the interface.
func (p *Plane) setGuard(home netip.Addr) error {
	if err := p.endGuard(home); err != nil { // it was one before
		return err
	}
	if err := p.makeRoomForGuard(); err != nil {
		return err
	}
	g := &guard{handles: map[hook]uint32{}}
	p.guards[home] = g
	return errors.Join(p.addGuard(g, egress, source, home), p.openGuard(g, home), p.addGuard(g, ingress, destination, home))
}

// openGuard lets Mobility Headers for a contact address with ESP in: what comes out
// of a tunnel of ESP comes by the interface once more. It is the kernel that
// numbers filters, from the lowest on, so this one stands before the guard's own.
func (p *Plane) openGuard(g *guard, home netip.Addr) error {
	if !slices.Contains(p.cfg.Protected, home) {
		return nil
	}
	f := match(filter(p.host.Link, ingress, p.preference, 0), netlink.TC_ACT_OK, nextHeader(protocolMobility), address(destination, home))
	handle, err := p.newFilter(p.host.Link, f)
	if err == nil {
		g.opening = handle
	}
	return err
}

// guardGone guards an address that was a dead process's contact address.
func (p *Plane) guardGone(home netip.Addr) error {
	g := &guard{handles: map[hook]uint32{}, gone: true}
	p.guards[home] = g
	return p.addGuard(g, egress, source, home)
}

func (p *Plane) addGuard(g *guard, at hook, what field, home netip.Addr) error {
	handle, err := p.newFilter(p.host.Link, match(filter(p.host.Link, at, p.preference, 0), netlink.TC_ACT_SHOT, address(what, home)))
	if err == nil {
		g.handles[at] = handle
	}
	return err
}

func (p *Plane) deleteGuard(g *guard, at hook) error {
	handle, ok := g.handles[at]
	if !ok {
		return nil
	}
	delete(g.handles, at)
	err := p.deleteFilter(filter(p.host.Link, at, p.preference, handle))
	if at == ingress && g.opening != 0 {
		err = errors.Join(err, p.deleteFilter(filter(p.host.Link, at, p.preference, g.opening)))
		g.opening = 0
	}
	return err
}

// retire leaves only the guard on what is sent.
func (p *Plane) retire(home netip.Addr) error {
	g, ok := p.guards[home]
	if !ok || g.gone {
		return nil
	}
	p.keepGuardCounters(g)
	g.gone = true
	return p.deleteGuard(g, ingress)
}

// endGuard takes away what is left of it.
func (p *Plane) endGuard(home netip.Addr) error {
	g, ok := p.guards[home]
	if !ok {
		return nil
	}
	p.keepGuardCounters(g)
	delete(p.guards, home)
	return errors.Join(p.deleteGuard(g, ingress), p.deleteGuard(g, egress))
}

// makeRoomForGuard has an address that has gone give its own up where there are
// too many.
func (p *Plane) makeRoomForGuard() error {
	for home, g := range p.guards {
		if len(p.guards) < maxContacts {
			break
		}
		if g.gone {
			if err := p.endGuard(home); err != nil {
				return err
			}
		}
	}
	return nil
}

// openGuards sees to the qdisc.
func (p *Plane) openGuards() error {
	created, err := hostnet.EnsureClsact(p.host.Netlink, p.host.Link)
	if err != nil {
		return err
	}
	p.preference = preferenceTheirs
	if created {
		p.preference = preferenceOurs
	}
	return nil
}

// closeGuards takes all filters off the interface, and the qdisc if it is ours
// and nobody else hangs on it.
func (p *Plane) closeGuards() error {
	var errs []error
	for home := range p.guards {
		errs = append(errs, p.endGuard(home))
	}
	if err := errors.Join(errs...); err != nil || p.preference != preferenceOurs {
		return err
	}
	others, err := p.otherFilters(p.host.Link)
	if err != nil || others > 0 {
		return err
	}
	return hostnet.RemoveClsact(p.host.Netlink, p.host.Link)
}

// otherFilters counts the filters on a link's clsact that are not ours. A hash
// table of u32 shows up as a filter without keys.
func (p *Plane) otherFilters(link netlink.Link) (n int, err error) {
	for _, at := range []hook{ingress, egress} {
		list, err := p.host.Netlink.FilterList(link, uint32(at))
		if err != nil {
			return 0, fmt.Errorf("listing filters of %s: %w", link.Attrs().Name, err)
		}
		for _, f := range list {
			if !isOurs(f) {
				n++
			}
		}
	}
	return n, nil
}

func isOurs(f netlink.Filter) bool {
	if tcbpf.IsBeside(f) {
		return true
	}
	a := f.Attrs()
	return f.Type() == "u32" && a.Protocol == unix.ETH_P_IPV6 && (a.Priority == preferenceTheirs || a.Priority == preferenceOurs)
}
