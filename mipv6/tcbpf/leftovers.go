package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leftovers are what a process that died without Close left in this namespace.
// Rules and routes are known by their protocol number; each rule names the contact
// address that it was made for.
type leftovers struct {
	rules  []netlink.Rule
	routes []netlink.Route
	links  []netlink.Link // that have filters of ours
}

func (l *leftovers) homes() []netip.Addr {
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

func (p *Plane) findLeftovers() (*leftovers, error) {
	l := &leftovers{}
	rules, err := p.nl.RuleList(unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", explain(err, "CONFIG_IPV6_MULTIPLE_TABLES"))
	}
	for _, r := range rules {
		if r.Protocol == protocol {
			r.Family = unix.AF_INET6
			l.rules = append(l.rules, r)
		}
	}
	filter := &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_UNSPEC}
	l.routes, err = p.nl.RouteListFiltered(unix.AF_INET6, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	links, err := p.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		own, _, err := filters(p.nl, link)
		if err != nil {
			return nil, err
		}
		if len(own) > 0 && link.Attrs().Index != p.link.Attrs().Index {
			l.links = append(l.links, link)
		}
	}
	return l, nil
}

// removeLeftovers takes addresses first, then routes, and the rules, by which
// the addresses are known, last.
func (p *Plane) removeLeftovers(l *leftovers) error {
	var errs []error
	for _, home := range l.homes() {
		p.logger.Info("removing a contact address that a dead process left", "contact", home)
		if err := p.nl.AddrDel(p.lo, contactAddress(home)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("removing leftover %v from lo: %w", home, err))
		}
	}
	for _, r := range l.routes {
		errs = append(errs, p.deleteRoute(&r))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, r := range l.rules {
		if err := p.nl.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("removing leftover rule %v: %w", r, err))
		}
	}
	for _, link := range l.links {
		errs = append(errs, detach(p.nl, link))
	}
	return errors.Join(append(errs, p.syncLocals())...)
}
