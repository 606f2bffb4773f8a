package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Leftovers are what a process that died without Close left in this namespace.
// Rules and routes are known by their protocol number; each rule names the contact
// address that it was made for.
type Leftovers struct {
	rules  []netlink.Rule
	routes []netlink.Route
}

// Homes are the contact addresses of the dead process.
func (l *Leftovers) Homes() []netip.Addr {
	var homes []netip.Addr
	for _, r := range l.rules {
		if r.Src == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Src.IP); ok && !slices.Contains(homes, a) {
			homes = append(homes, a)
		}
	}
	return homes
}

// FindLeftovers looks for them.
func (h *Host) FindLeftovers() (*Leftovers, error) {
	l := &Leftovers{}
	rules, err := h.rules()
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if r.Protocol == Protocol {
			r.Family = unix.AF_INET6
			l.rules = append(l.rules, r)
		}
	}
	filter := &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_UNSPEC}
	l.routes, err = h.Netlink.RouteListFiltered(unix.AF_INET6, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	return l, nil
}

// RemoveLeftovers takes addresses first, then routes, and the rules, by which
// the addresses are known, last.
func (h *Host) RemoveLeftovers(l *Leftovers) error {
	var errs []error
	for _, home := range l.Homes() {
		errs = append(errs, h.RemoveContactAddress(home))
	}
	for _, r := range l.routes {
		errs = append(errs, h.DeleteRoute(&r))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leftovers: %w", err)
	}
	for _, r := range l.rules {
		errs = append(errs, h.removeRule(&r))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leftovers: %w", err)
	}
	return nil
}
