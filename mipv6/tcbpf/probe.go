package tcbpf

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// oldest is the first kernel whose bpf_skb_adjust_room and
// bpf_redirect_neigh can all that the programs ask.
const oldest = 5<<16 | 10<<8

// Probe reports whether this kernel can carry the plane; if not, the error
// is one line that names what is missing. It tries everything in a network
// namespace of its own and changes nothing on the host.
func Probe() error {
	version, err := features.LinuxVersionCode()
	if err != nil {
		return fmt.Errorf("tcbpf: kernel version: %w", err)
	}
	if version < oldest {
		return fmt.Errorf("tcbpf: Linux %d.%d is too old: 5.10 or later is needed", version>>16, version>>8&0xff)
	}
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and with it the namespace.
		runtime.LockOSThread()
		result <- probeInNamespace()
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("tcbpf: %w", err)
	}
	return nil
}

func probeInNamespace() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raising RLIMIT_MEMLOCK: %w", err)
	}
	// An interface that is none: only its kind matters until the programs are attached.
	programs, err := load(Config{}.withDefaults(), &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "lo", EncapType: "loopback"}}, 0)
	if err != nil {
		return err
	}
	defer programs.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.EPERM) {
		return nil // without CAP_SYS_ADMIN there is no place to try the rest in: New will tell
	} else if err != nil {
		return fmt.Errorf("a network namespace to try in: %w", dataplane.Explain(err, "CONFIG_NET_NS"))
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer nl.Close()
	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.Table, rule.Protocol = unix.AF_INET6, 1, hostnet.FirstTable, hostnet.Protocol
	if err := nl.RuleAdd(rule); err != nil {
		return fmt.Errorf("adding an IPv6 rule: %w", dataplane.Explain(err, "CONFIG_IPV6_MULTIPLE_TABLES"))
	}
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	return attach(nl, lo, programs.fds())
}
