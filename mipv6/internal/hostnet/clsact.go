package hostnet

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// EnsureClsact makes the qdisc that the filters hang on, if it is not there.
func EnsureClsact(nl *netlink.Handle, link netlink.Link) (created bool, err error) {
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

// RemoveClsact takes it off; one that is not there is no error.
func RemoveClsact(nl *netlink.Handle, link netlink.Link) error {
	if err := nl.QdiscDel(clsact(link)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing qdisc clsact from %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// HasClsact tells whether the link has it.
func HasClsact(nl *netlink.Handle, link netlink.Link) (bool, error) {
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
