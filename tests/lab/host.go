package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is one host of a laboratory: a network namespace.
type Host struct {
	net   *Net
	name  string
	ns    string
	links int // how many interfaces got a default name

	netlink *netlink.Handle
}

// Name is what the test calls the host.
func (h *Host) Name() string { return h.name }

// IP runs `ip -n NAMESPACE args…` and ends the test if it fails.
func (h *Host) IP(args ...string) {
	h.net.tb.Helper()
	h.net.ip(append([]string{"-n", h.ns}, args...)...)
}

// Sysctl sets one of the namespace's own sysctls (net.…).
func (h *Host) Sysctl(name, value string) {
	h.net.tb.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	// The files under /proc/sys/net are those of the opening thread's namespace.
	err := h.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) })
	if err != nil {
		h.net.tb.Fatalf("lab: sysctl %s=%s on %s: %v", name, value, h.name, err)
	}
}

// Do runs f on a thread inside the host's namespace and returns what it
// returned: sockets that f makes belong to the host for ever. Goroutines that
// f starts do not: they run on other threads.
func (h *Host) Do(f func() error) error {
	return inThread(func() error {
		there, err := os.Open(namespaceDir + "/" + h.ns)
		if err != nil {
			return err
		}
		defer there.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("lab: entering namespace %s: %w", h.ns, err)
		}
		return f()
	})
}

// Command is exec.CommandContext on the host. The process is the program
// itself (ip(8) replaces itself), so that its id is the program's.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...)
}

// Output runs a program on the host until it ends and returns what it wrote;
// the error carries the end of its error output. The program sees the /sys of this
// process, not the host's.
func (h *Host) Output(ctx context.Context, name string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// The child is born where its parent's thread is: no ip(8) in between.
	err := h.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("on %s: %s %s: %w: %s", h.name, name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
