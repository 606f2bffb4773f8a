package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// AddContactAddress puts a contact address on lo, with further flags (IFA_F_…),
// and returns when the kernel delivers what comes to it: the kernel makes the
// route for that in a worker of its own, some time after it took the address.
func (h *Host) AddContactAddress(home netip.Addr, flags int) error {
	if err := h.Netlink.AddrAdd(h.Lo, contactAddress(home, flags)); err != nil {
		return fmt.Errorf("adding the address to lo: %w", err)
	}
	const patience = 5 * time.Second
	for started := time.Now(); ; {
		routes, err := h.Netlink.RouteGet(home.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Since(started) > patience {
			return errors.Join(errors.New("the kernel makes no local route for the address"), err)
		}
		time.Sleep(time.Millisecond)
	}
}

// RemoveContactAddress takes it off lo; one that is not there is no error.
func (h *Host) RemoveContactAddress(home netip.Addr) error {
	if err := h.Netlink.AddrDel(h.Lo, contactAddress(home, 0)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("removing the address from lo: %w", err)
	}
	return nil
}

// contactAddress is deprecated from the start, so that nobody chooses it as
// source; and it makes no route and no noise.
func contactAddress(home netip.Addr, flags int) *netlink.Addr {
	return &netlink.Addr{
		IPNet:    IPNet(Single(home)),
		Flags:    unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | flags,
		ValidLft: 1<<32 - 1, // for ever; and a preferred lifetime of 0
	}
}

// AddRules leads what has the contact address as source to its table, and
// refuses what the table does not know.
func (h *Host) AddRules(home netip.Addr, table int) error {
	for _, rule := range []*netlink.Rule{h.refuse(home), h.lead(home, table)} {
		if err := h.Netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("rule %v: %w", rule, dataplane.Explain(err, "CONFIG_IPV6_MULTIPLE_TABLES"))
		}
	}
	return nil
}

// RemoveRules takes both rules away.
func (h *Host) RemoveRules(home netip.Addr, table int) error {
	return errors.Join(h.removeRule(h.refuse(home)), h.removeRule(h.lead(home, table)))
}

// Guard leaves only the rule that refuses: the address has gone, and what is still
// bound to it must not send. RemoveGuard ends that.
func (h *Host) Guard(home netip.Addr, table int) error {
	return h.removeRule(h.lead(home, table))
}

// RemoveGuard takes the rule away that Guard left.
func (h *Host) RemoveGuard(home netip.Addr) error { return h.removeRule(h.refuse(home)) }

func (h *Host) removeRule(rule *netlink.Rule) error {
	if err := h.Netlink.RuleDel(rule); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing rule %v: %w", rule, err)
	}
	return nil
}

func (h *Host) lead(home netip.Addr, table int) *netlink.Rule {
	r := h.rule(home)
	r.Priority, r.Table = h.rulePriority, table
	return r
}

func (h *Host) refuse(home netip.Addr) *netlink.Rule {
	const unreachable = 7 // FR_ACT_UNREACHABLE
	r := h.rule(home)
	r.Priority, r.Type = h.rulePriority+1, unreachable
	return r
}

func (h *Host) rule(home netip.Addr) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Src, r.Protocol = unix.AF_INET6, IPNet(Single(home)), Protocol
	return r
}

// FreeTable finds a routing table that no rule names.
func (h *Host) FreeTable() (int, error) {
	rules, err := h.rules()
	if err != nil {
		return 0, err
	}
	taken := map[int]bool{}
	for _, r := range rules {
		taken[r.Table] = true
	}
	for table := FirstTable; ; table++ {
		if !taken[table] {
			return table, nil
		}
	}
}

func (h *Host) rules() ([]netlink.Rule, error) {
	rules, err := h.Netlink.RuleList(unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", dataplane.Explain(err, "CONFIG_IPV6_MULTIPLE_TABLES"))
	}
	return rules, nil
}
