// Package hostnet is what the data planes share of their host: the contact
// address, the rules that lead what it sends to a table of its own, the routes
// in that table and in the main one, following the host's changes, and finding
// what a dead process left.
//
// Rules and routes carry routing protocol number 145, which no routing daemon of
// /etc/iproute2/rt_protos uses. There is one plane, of whatever kind, per network
// namespace (see Lock).
package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// Protocol marks our rules and routes (rtm_protocol).
	Protocol = 145
	// FirstTable is where the search for free table numbers starts.
	FirstTable = 145000
	// MainTable is the host's own.
	MainTable = unix.RT_TABLE_MAIN
	// Overhead is what every route's MTU leaves room for: the outer header of the
	// tunnel. Optimised traffic needs 24 bytes only, but Linux hosts that forward
	// superpackets read the TCP header's length out of the extension header and
	// then make segments too long.
	Overhead = 40
	// DefaultRulePriority is that of the rules from contact addresses; the one
	// after it is used too.
	DefaultRulePriority = 5100
)

// Host is the network namespace of the thread that opened it, as seen by the
// interface that all rewritten traffic leaves and comes by. Its methods are not
// safe for concurrent use, MTU aside.
type Host struct {
	Netlink *netlink.Handle
	Link    netlink.Link // the interface
	Lo      netlink.Link

	rulePriority int
	mtu          *mtuFile
}

// Open opens the host. What it returns with an error is to be closed all the same.
func Open(iface string, rulePriority int) (h *Host, err error) {
	h = &Host{rulePriority: rulePriority}
	if h.Netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return h, fmt.Errorf("opening netlink: %w", err)
	}
	if h.Link, err = h.Netlink.LinkByName(iface); err != nil {
		return h, fmt.Errorf("finding the interface: %w", err)
	}
	if h.Lo, err = h.Netlink.LinkByName("lo"); err != nil {
		return h, fmt.Errorf("finding lo: %w", err)
	}
	if h.mtu, err = openMTU(iface); err != nil {
		return h, err
	}
	return h, nil
}

// Close gives back what the process holds; the host stays as it is.
func (h *Host) Close() error {
	var errs []error
	if h.mtu != nil {
		errs = append(errs, h.mtu.Close())
	}
	if h.Netlink != nil {
		h.Netlink.Close()
	}
	return errors.Join(errs...)
}

// Addresses are all IPv6 addresses of the host.
func (h *Host) Addresses() (map[netip.Addr]bool, error) {
	list, err := h.Netlink.AddrList(nil, unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	all := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			all[addr] = true
		}
	}
	return all, nil
}
