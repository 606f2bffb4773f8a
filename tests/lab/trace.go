package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	bpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// traceCommands show what a daemon may change on a host, in the words of
// programs that nobody here wrote.
var traceCommands = [][]string{
	{"ip", "-6", "addr", "show"},
	{"ip", "-6", "route", "show", "table", "all"},
	{"ip", "-6", "rule", "show"},
	{"ip", "-6", "neigh", "show", "proxy"},
	{"ip", "-d", "link", "show"},
	{"ip", "-6", "tunnel", "show"},
	{"ip", "xfrm", "policy"},
	{"ip", "xfrm", "state"},
	{"tc", "qdisc", "show"},
}

// volatile is what changes in their output by itself.
var volatile = regexp.MustCompile(`(?m) expires \d+sec| \(dead\)|^cache.*$`)

// Trace describes everything of the host that a daemon may have changed:
// addresses, routes, rules, proxied neighbours, links, tunnels, XFRM, traffic
// control, eBPF programs on its interfaces, and IPv6 sysctls. Two equal traces
// mean that nothing was left behind.
func (h *Host) Trace(ctx context.Context) (string, error) {
	h.Settle()
	var b strings.Builder
	for _, argv := range traceCommands {
		out, err := h.Output(ctx, argv[0], argv[1:]...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "$ %s\n%s", strings.Join(argv, " "), volatile.ReplaceAllString(out, ""))
	}
	err := h.Do(func() error {
		sysctls, err := sysctls()
		if err != nil {
			return err
		}
		b.WriteString(sysctls)
		programs, err := programs()
		b.WriteString(programs)
		return err
	})
	return b.String(), err
}

// sysctls lists the IPv6 sysctls of the calling thread's namespace.
func sysctls() (string, error) {
	paths, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/*")
	if err != nil {
		return "", err
	}
	slices.Sort(paths)
	var b strings.Builder
	for _, path := range paths {
		value, err := os.ReadFile(path)
		if err != nil {
			continue // stable_secret cannot be read while it is not set
		}
		fmt.Fprintf(&b, "%s = %s\n", path, strings.TrimSpace(string(value)))
	}
	return b.String(), nil
}

// programs counts the eBPF programs at tc (tcx) on every interface of the
// calling thread's namespace; tc(8) of Debian 12 does not show them.
func programs() (string, error) {
	paths, err := filepath.Glob("/proc/sys/net/ipv6/conf/*")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, path := range paths {
		name := filepath.Base(path)
		if name == "all" || name == "default" {
			continue
		}
		index, err := interfaceIndex(name)
		if err != nil {
			return "", err
		}
		for _, attach := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			result, err := bpflink.QueryPrograms(bpflink.QueryOptions{Target: index, Attach: attach})
			if err != nil {
				return "", fmt.Errorf("programs on %s: %w", name, err)
			}
			fmt.Fprintf(&b, "%s %v: %d programs\n", name, attach, len(result.Programs))
		}
	}
	return b.String(), nil
}

// interfaceIndex asks the kernel, not /sys: that shows the namespace it was
// mounted in.
func interfaceIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, fmt.Errorf("index of %s: %w", name, err)
	}
	return int(request.Uint32()), nil
}
