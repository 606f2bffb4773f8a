package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// The user and group that servers run as: Debian has both, they may do
// nothing, and nothing need be added to the machine.
const (
	serverUser  = 65534 // nobody
	serverGroup = "nogroup"
)

// Cluster is an installation of vanycast on the standard laboratory.
type Cluster struct {
	*lab.ThesisNet

	bin      string
	dir      string // configuration and certificates
	public   string // sockets and programs that the servers' user must reach
	services []Service
	replicas []string
	clients  []string          // hosts with the correspondent role
	planes   map[string]string // by host; "" for "auto"
	leave    bool
	ipsec    *IPsec // nil: nothing is said of it
}

// Option changes an installation.
type Option func(*Cluster)

// WithServices replaces the echo service.
func WithServices(s ...Service) Option { return func(c *Cluster) { c.services = s } }

// WithReplicas takes fewer replicas than all three.
func WithReplicas(names ...string) Option { return func(c *Cluster) { c.replicas = names } }

// WithDataPlane has these hosts (all if none is named) configured with a data
// plane: "xfrm" or "bpf".
func WithDataPlane(kind string, hosts ...string) Option {
	return func(c *Cluster) {
		if len(hosts) == 0 {
			hosts = c.daemonHosts()
		}
		for _, h := range hosts {
			c.planes[h] = kind
		}
	}
}

// WithLeave lets what is started outlive the program (lab.Net.Detach).
func WithLeave() Option { return func(c *Cluster) { c.leave = true } }

// New writes the configuration and makes the certificates; it starts nothing.
// bin is the folder of the binaries (Build). Everything goes with tb, except
// with WithLeave.
func New(ctx context.Context, tb lab.TB, n *lab.ThesisNet, bin string, opts ...Option) (*Cluster, error) {
	c := &Cluster{
		ThesisNet: n, bin: bin, dir: filepath.Join(n.Dir(), "etc"),
		services: []Service{Echo()}, replicas: lab.Replicas(), clients: []string{"modern"}, planes: map[string]string{},
	}
	for _, o := range opts {
		o(c)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	// Neither a test's temporary folder nor the repository need be open to
	// others; this one is.
	public, err := os.MkdirTemp("", "vanycast-"+n.Prefix())
	if err != nil {
		return nil, err
	}
	c.public = public
	tb.Cleanup(func() {
		if !n.Detached() {
			_ = os.RemoveAll(public)
		}
	})
	if err := os.Chmod(public, 0o755); err != nil {
		return nil, err
	}
	return c, errors.Join(c.writeFiles(), c.issueCertificates(ctx), c.makeKeys(ctx))
}

// Hosts that run a daemon, in the order in which they are started: the
// replicas register at the home agent.
func (c *Cluster) daemonHosts() []string {
	return slices.Concat([]string{"ha"}, c.clients, c.replicas)
}

// Socket is the path of a host's API socket.
func (c *Cluster) Socket(host string) string { return filepath.Join(c.public, host+".sock") }

// Public is a folder that every user of this machine can reach.
func (c *Cluster) Public() string { return c.public }

// Config is the path of a host's configuration file.
func (c *Cluster) Config(host string) string { return filepath.Join(c.dir, host+".toml") }

func (c *Cluster) writeFiles() error {
	for _, name := range c.daemonHosts() {
		text := ""
		switch {
		case name == "ha":
			text = c.homeAgentFile(name)
		case slices.Contains(c.clients, name):
			text = c.correspondentFile(name)
		default:
			text = c.replicaFile(name)
		}
		if err := os.WriteFile(c.Config(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// issueCertificates makes the replicas' authority and a certificate for each.
func (c *Cluster) issueCertificates(ctx context.Context) error {
	if _, err := c.vanyctl(ctx, "ca", "init", "--dir", c.dir); err != nil {
		return err
	}
	for _, name := range c.replicas {
		if _, err := c.vanyctl(ctx, "ca", "issue", "--dir", c.dir, name, "--address", addressOf(name)); err != nil {
			return err
		}
	}
	return nil
}

// vanyctl runs the operator's command line on this machine.
func (c *Cluster) vanyctl(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(c.bin, "vanyctl"), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("vanyctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// StartAll starts every daemon and waits until each is ready.
func (c *Cluster) StartAll(ctx context.Context) (map[string]*Daemon, error) {
	daemons := map[string]*Daemon{}
	for _, name := range c.daemonHosts() {
		d, err := c.Start(ctx, name)
		if err != nil {
			return daemons, err
		}
		daemons[name] = d
	}
	return daemons, nil
}

// readyTimeout bounds a daemon's start, registration included.
const readyTimeout = 20 * time.Second
