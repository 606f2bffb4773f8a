package tcbpf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

const (
	filterPrefix     = "vanycast_"
	filterPreference = 145
	// createdMark ends the filter's name where the clsact qdisc was made by us too,
	// so that whoever takes the filters off, also after a crash, takes it along.
	createdMark = ":clsact"
)

// hooks are the places where programs stand on an interface.
var hooks = []struct {
	name   string
	parent uint32
}{
	{"egress", netlink.HANDLE_MIN_EGRESS},
	{"ingress", netlink.HANDLE_MIN_INGRESS},
}

// attach puts the programs on the link, in the place of those of a dead
// process: each replacement is atomic, no packet passes unseen.
func attach(nl *netlink.Handle, link netlink.Link, fds map[string]int) error {
	own, theirs, err := filters(nl, link)
	if err != nil {
		return err
	}
	mark := ""
	created, err := hostnet.EnsureClsact(nl, link)
	if err != nil {
		return err
	}
	if created || (theirs == 0 && markedCreated(own)) {
		mark = createdMark
	}
	for _, hook := range hooks {
		if err := attachOne(nl, link, hook.parent, filterPreference, filterPrefix+hook.name+mark, fds[hook.name]); err != nil {
			return err
		}
	}
	return nil
}

// attachOne puts a program at one place.
func attachOne(nl *netlink.Handle, link netlink.Link, parent uint32, preference uint16, name string, fd int) error {
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link.Attrs().Index,
			Parent:    parent,
			Handle:    1,
			Priority:  preference,
			Protocol:  unix.ETH_P_IPV6,
		},
		Fd:           fd,
		Name:         name,
		DirectAction: true,
	}
	if err := nl.FilterReplace(f); err != nil {
		return fmt.Errorf("attaching the filter %s to %s: %w", name, link.Attrs().Name, dataplane.Explain(err, "CONFIG_NET_CLS_BPF"))
	}
	return nil
}

// detach takes our filters off the link, and the qdisc if we made it and nobody
// else hangs on it.
func detach(nl *netlink.Handle, link netlink.Link) error {
	own, theirs, err := filters(nl, link)
	if err != nil || len(own) == 0 {
		return err
	}
	for _, f := range own {
		if err := nl.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing filter %s from %s: %w", f.Name, link.Attrs().Name, err)
		}
	}
	if theirs > 0 || !markedCreated(own) {
		return nil
	}
	return hostnet.RemoveClsact(nl, link)
}

// filters lists ours on the link and counts the others at the same hooks.
func filters(nl *netlink.Handle, link netlink.Link) (own []*netlink.BpfFilter, theirs int, err error) {
	has, err := hostnet.HasClsact(nl, link)
	if err != nil || !has {
		return nil, 0, err
	}
	for _, hook := range hooks {
		list, err := nl.FilterList(link, hook.parent)
		if err != nil {
			return nil, 0, fmt.Errorf("listing %s filters of %s: %w", hook.name, link.Attrs().Name, err)
		}
		for _, f := range list {
			if b, ok := f.(*netlink.BpfFilter); ok && strings.HasPrefix(b.Name, filterPrefix) {
				own = append(own, b)
			} else {
				theirs++
			}
		}
	}
	return own, theirs, nil
}

func markedCreated(own []*netlink.BpfFilter) bool {
	for _, f := range own {
		if strings.HasSuffix(f.Name, createdMark) {
			return true
		}
	}
	return false
}
