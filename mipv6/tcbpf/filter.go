package tcbpf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
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
	created, err := ensureClsact(nl, link)
	if err != nil {
		return err
	}
	if created || (theirs == 0 && markedCreated(own)) {
		mark = createdMark
	}
	for _, hook := range hooks {
		f := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: link.Attrs().Index,
				Parent:    hook.parent,
				Handle:    1,
				Priority:  filterPreference,
				Protocol:  unix.ETH_P_IPV6,
			},
			Fd:           fds[hook.name],
			Name:         filterPrefix + hook.name + mark,
			DirectAction: true,
		}
		if err := nl.FilterReplace(f); err != nil {
			return fmt.Errorf("attaching the %s filter to %s: %w", hook.name, link.Attrs().Name, dataplane.Explain(err, "CONFIG_NET_CLS_BPF"))
		}
	}
	return nil
}

// ensureClsact makes the qdisc that the filters hang on, if it is not there.
func ensureClsact(nl *netlink.Handle, link netlink.Link) (created bool, err error) {
	err = nl.QdiscAdd(clsact(link))
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("adding qdisc clsact to %s: %w", link.Attrs().Name,
			dataplane.Explain(err, "CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_ACT"))
	}
	return true, nil
}

func clsact(link netlink.Link) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: link.Attrs().Index,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
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
	if err := nl.QdiscDel(clsact(link)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing qdisc clsact from %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// filters lists ours on the link and counts the others at the same hooks.
func filters(nl *netlink.Handle, link netlink.Link) (own []*netlink.BpfFilter, theirs int, err error) {
	has, err := hasClsact(nl, link)
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

func hasClsact(nl *netlink.Handle, link netlink.Link) (bool, error) {
	list, err := nl.QdiscList(link)
	if err != nil {
		return false, fmt.Errorf("listing qdiscs of %s: %w", link.Attrs().Name, err)
	}
	for _, q := range list {
		if q.Type() == "clsact" {
			return true, nil
		}
	}
	return false, nil
}

func markedCreated(own []*netlink.BpfFilter) bool {
	for _, f := range own {
		if strings.HasSuffix(f.Name, createdMark) {
			return true
		}
	}
	return false
}
