package xfrm

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// takeOver takes away what a process that died without Close left, and guards
// its contact addresses, to which sockets may be bound still.
func (p *Plane) takeOver() error {
	left, err := p.host.FindLeftovers()
	if err != nil {
		return err
	}
	if err := p.takeOverFilters(); err != nil {
		return err
	}
	for _, home := range left.Homes() {
		p.logger.Info("removing a contact address that a dead process left", "contact", home)
		if err := p.guardGone(home); err != nil {
			return err
		}
	}
	if err := p.host.RemoveLeftovers(left); err != nil {
		return err
	}
	if err := p.removeDeadRules(); err != nil {
		return err
	}
	links, err := p.ourLinks()
	if err != nil {
		return err
	}
	for _, link := range links {
		if err := p.deleteLink(link); err != nil {
			return err
		}
	}
	return p.syncLocals()
}

// removeDeadRules removes policies before the states that they ask for, those of
// an ESP too: this process may be without.
func (p *Plane) removeDeadRules() error {
	if err := p.conn.removeESP(); err != nil {
		return err
	}
	policies, err := p.conn.policies()
	if err != nil {
		return err
	}
	states, err := p.conn.states()
	if err != nil {
		return err
	}
	var steps []step
	for _, q := range policies {
		steps = append(steps, deletePolicy(q.policyID))
	}
	for _, s := range states {
		steps = append(steps, deleteState(s.stateID))
	}
	_, err = p.conn.do(steps...)
	return err
}

// takeOverFilters removes filters from all interfaces and sees to the qdisc of
// ours; whether a dead process made it, their preference tells.
func (p *Plane) takeOverFilters() error {
	links, err := p.host.Netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	made := false
	for _, link := range links {
		has, err := hostnet.HasClsact(p.host.Netlink, link)
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		ours, err := p.removeFilters(link)
		if err != nil {
			return err
		}
		if link.Attrs().Index == p.host.Link.Attrs().Index {
			made = ours
			continue
		}
		if others, err := p.otherFilters(link); err != nil {
			return err
		} else if ours && others == 0 {
			if err := hostnet.RemoveClsact(p.host.Netlink, link); err != nil {
				return err
			}
		}
	}
	if err := p.openGuards(); err != nil {
		return err
	}
	if made {
		p.preference = preferenceOurs
	}
	return nil
}

// removeFilters takes ours off a link and tells whether its qdisc is ours as well.
func (p *Plane) removeFilters(link netlink.Link) (made bool, err error) {
	for _, at := range []hook{ingress, egress} {
		list, err := p.host.Netlink.FilterList(link, uint32(at))
		if err != nil {
			return false, fmt.Errorf("listing filters of %s: %w", link.Attrs().Name, err)
		}
		done := map[uint16]bool{}
		for _, f := range list {
			preference := f.Attrs().Priority
			if !isOurs(f) || done[preference] {
				continue
			}
			done[preference] = true
			made = made || preference == preferenceOurs
			all := &netlink.GenericFilter{FilterAttrs: netlink.FilterAttrs{
				LinkIndex: link.Attrs().Index, Parent: uint32(at), Priority: preference, Protocol: unix.ETH_P_IPV6,
			}, FilterType: f.Type()}
			if err := p.host.Netlink.FilterDel(all); err != nil && !errors.Is(err, unix.ENOENT) {
				return false, fmt.Errorf("removing filters of %s: %w", link.Attrs().Name, err)
			}
		}
	}
	return made, nil
}
