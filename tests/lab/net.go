package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Net is a laboratory: hosts, what joins them, and what runs on them.
// Its methods that build are for the goroutine of the test that owns it, and
// end that test (TB.Fatalf) if the kernel refuses.
type Net struct {
	tb      TB
	prefix  string // of namespace names, with the dash
	dir     string // logs, captures, configuration
	spawner *spawner

	mu        sync.Mutex
	hosts     []*Host
	processes []*Process
	delayed   []func() error // end delayed links
	detached  bool
	closed    bool
}

// Option changes how a laboratory is made.
type Option func(*settings)

type settings struct {
	prefix string
	dir    string
}

// WithPrefix names the namespaces prefix-host instead of by process id; for a
// laboratory that outlives its maker (Detach).
func WithPrefix(prefix string) Option { return func(s *settings) { s.prefix = prefix + "-" } }

// WithDir keeps logs and configuration in dir instead of a temporary one.
func WithDir(dir string) Option { return func(s *settings) { s.dir = dir } }

// New makes an empty laboratory that is taken down when tb ends.
func New(tb TB, opts ...Option) *Net {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatalf("lab: network namespaces need root; this process is uid %d", os.Geteuid())
	}
	if _, err := exec.LookPath("ip"); err != nil {
		tb.Fatalf("lab: needs iproute2: %v", err)
	}
	s := settings{}
	for _, o := range opts {
		o(&s)
	}
	if s.prefix == "" {
		// The random part keeps apart the laboratories of one process.
		var b [2]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		s.prefix = fmt.Sprintf("%s%d.%s-", sweepPrefix, os.Getpid(), hex.EncodeToString(b[:]))
		sweep(tb)
	}
	if s.dir == "" {
		s.dir = directory(tb)
	}
	n := &Net{tb: tb, prefix: s.prefix, dir: s.dir, spawner: newSpawner()}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("lab: taking down: %v", err)
		}
	})
	return n
}

// directory is a temporary one, or, to look at afterwards, one of the test's own
// in the folder that the environment's VANYCAST_LAB_DIR names.
func directory(tb TB) string {
	base := os.Getenv("VANYCAST_LAB_DIR")
	if base == "" {
		return tb.TempDir()
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' {
			return '-'
		}
		return r
	}, tb.Name())
	dir := filepath.Join(base, name)
	for i := 2; ; i++ {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		dir = filepath.Join(base, fmt.Sprintf("%s-%d", name, i))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatalf("lab: %v", err)
	}
	return dir
}

// Dir is where logs, captures and configuration files of this laboratory go.
func (n *Net) Dir() string { return n.dir }

// Prefix is what every namespace name of this laboratory begins with.
func (n *Net) Prefix() string { return n.prefix }

// Host makes a host: a namespace with lo up and no duplicate address
// detection, which would delay every address by a second.
func (n *Net) Host(name string) *Host {
	n.tb.Helper()
	h := &Host{net: n, name: name, ns: n.prefix + name}
	n.mu.Lock()
	first := len(n.hosts) == 0
	n.mu.Unlock()
	if first {
		n.ip("netns", "add", h.ns) // see addNamespace
	} else if err := addNamespace(h.ns); err != nil {
		n.tb.Fatalf("lab: %v", err)
	}
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	if err := h.open(); err != nil {
		n.tb.Fatalf("lab: %v", err)
	}
	for _, scope := range []string{"all", "default"} {
		h.Sysctl("net.ipv6.conf."+scope+".accept_dad", "0")
		h.Sysctl("net.ipv6.conf."+scope+".dad_transmits", "0")
		h.Sysctl("net.ipv6.conf."+scope+".accept_ra", "0")
	}
	// Errors are what tests look for: the kernel's default of one a second
	// per destination would hide them.
	h.Sysctl("net.ipv6.icmp.ratelimit", "0")
	// On newer kernels (6.18) a socket takes in up to 32 MB that nobody reads, which a handoff
	// takes along: tests would take five times as long there as on other kernels.
	h.Sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
	h.Up("lo")
	return h
}

// Lookup finds a host of this laboratory by its name; nil if there is none.
func (n *Net) Lookup(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.hosts, func(h *Host) bool { return h.name == name })
	if i < 0 {
		return nil
	}
	return n.hosts[i]
}

// Hosts are all hosts, in the order of their making.
func (n *Net) Hosts() []*Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.hosts)
}

// Detach leaves the laboratory up, with everything that runs in it, when its
// owner ends. Processes must have been started with Leave.
func (n *Net) Detach() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.detached = true
}

// Detached tells whether the laboratory outlives its owner.
func (n *Net) Detached() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.detached
}

// Close takes the laboratory down: processes, last started first, then the
// namespaces. It may be called again. Processes of ours that outlived their
// stop are killed, and make an error.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	detached := n.detached
	processes, hosts := slices.Clone(n.processes), slices.Clone(n.hosts)
	n.mu.Unlock()

	defer n.spawner.stop()
	if detached {
		return nil
	}
	var errs []error
	for _, p := range slices.Backward(processes) {
		if err := p.Stop(); err != nil {
			// How a program ends is a matter for the test that started it.
			n.tb.Logf("lab: %v", err)
		}
	}
	if n.tb.Failed() {
		n.dumpLogs(processes)
	}
	for _, end := range n.delayed {
		errs = append(errs, end())
	}
	for _, h := range slices.Backward(hosts) {
		if h.netlink != nil {
			h.netlink.Close()
		}
		errs = append(errs, removeNamespace(h.ns))
	}
	return errors.Join(errs...)
}

// dumpLogs shows the last lines of every process of a test that failed.
func (n *Net) dumpLogs(processes []*Process) {
	for _, p := range processes {
		if tail := p.Tail(40); tail != "" {
			n.tb.Logf("--- %s on %s (%s)\n%s", p.name, p.host.name, filepath.Base(p.logPath), tail)
		}
	}
}

// ip runs ip(8) in the caller's own namespace and ends the test if it fails.
func (n *Net) ip(args ...string) {
	n.tb.Helper()
	if err := runIP(args...); err != nil {
		n.tb.Fatalf("lab: %v", err)
	}
}

func runIP(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
