package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is one host of a laboratory: a network namespace.
type Host struct {
	net   *Net
	name  string
	ns    string
	links int // how many interfaces got a default name
}

// Name is what the test calls the host.
func (h *Host) Name() string { return h.name }

// IP runs `ip -n NAMESPACE args…` and ends the test if it fails.
func (h *Host) IP(args ...string) {
	h.net.tb.Helper()
	h.net.ip(append([]string{"-n", h.ns}, args...)...)
}

// Addr gives an interface an address with its prefix length, usable at once.
func (h *Host) Addr(iface string, prefix netip.Prefix) {
	h.net.tb.Helper()
	h.IP("-6", "addr", "add", prefix.String(), "dev", iface, "nodad")
}

// Route adds a route; the default route is ::/0.
func (h *Host) Route(to netip.Prefix, via netip.Addr) {
	h.net.tb.Helper()
	h.IP("-6", "route", "add", to.String(), "via", via.String())
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
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		// Without UnlockOSThread the runtime ends the thread together with
		// this goroutine: the answer to every error that could leave it in
		// the wrong namespace, and to runtime.Goexit in f (t.Fatal).
		err := fmt.Errorf("lab: the function on %s did not return", h.name)
		defer func() { result <- err }()

		home, e := os.Open("/proc/thread-self/ns/net")
		if e != nil {
			err = e
			return
		}
		defer home.Close()
		there, e := os.Open(namespaceDir + "/" + h.ns)
		if e != nil {
			err = e
			return
		}
		defer there.Close()
		if e := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); e != nil {
			err = fmt.Errorf("lab: entering namespace %s: %w", h.ns, e)
			return
		}
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-result
}

// Command is exec.CommandContext on the host. The process is the program
// itself (ip(8) replaces itself), so that its id is the program's.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...)
}

// Output runs a program on the host until it ends and returns what it wrote;
// the error carries the end of its error output.
func (h *Host) Output(ctx context.Context, name string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := h.Command(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("on %s: %s %s: %w: %s", h.name, name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
