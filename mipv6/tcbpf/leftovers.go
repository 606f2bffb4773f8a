package tcbpf

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// leftovers are what a process that died without Close left in this namespace.
type leftovers struct {
	*hostnet.Leftovers
	links []netlink.Link // that have filters of ours
}

func (p *Plane) findLeftovers() (*leftovers, error) {
	common, err := p.host.FindLeftovers()
	if err != nil {
		return nil, err
	}
	l := &leftovers{Leftovers: common}
	links, err := p.host.Netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		own, _, err := filters(p.host.Netlink, link)
		if err != nil {
			return nil, err
		}
		if len(own) > 0 && link.Attrs().Index != p.host.Link.Attrs().Index {
			l.links = append(l.links, link)
		}
	}
	return l, nil
}

// removeLeftovers takes the filters last.
func (p *Plane) removeLeftovers(l *leftovers) error {
	for _, home := range l.Homes() {
		p.logger.Info("removing a contact address that a dead process left", "contact", home)
	}
	if err := p.host.RemoveLeftovers(l.Leftovers); err != nil {
		return err
	}
	var errs []error
	for _, link := range l.links {
		errs = append(errs, detach(p.host.Netlink, link))
	}
	return errors.Join(append(errs, p.syncLocals())...)
}
