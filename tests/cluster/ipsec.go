package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vanycast/vanycast/tests/lab"
)

// IPsec is how registrations are protected in an installation.
type IPsec struct {
	Mode      string // of the home agent and of every service: off, optional, required
	Algorithm string // of the keys; default: vanyctl's
	// Without are contact nodes that get no keys, and are configured as if there
	// were no IPsec.
	Without []string
	// KeysOnlyAtHomeAgent: no replica is configured for IPsec, and yet the home agent
	// has keys for each.
	KeysOnlyAtHomeAgent bool
}

// WithIPsec protects registrations: every contact node of every service shares a
// key file with the home agent.
func WithIPsec(i IPsec) Option { return func(c *Cluster) { c.ipsec = &i } }

// Keys is the path of a contact node's key file for a service: at that replica,
// or at the home agent ("ha").
func (c *Cluster) Keys(host, service, replica string) string {
	return filepath.Join(c.dir, host+"-keys", service+"-"+replica+".keys")
}

// contactNodes are a service's, by name.
func (c *Cluster) contactNodes(s Service) []string {
	if len(s.ContactNodes) > 0 {
		return s.ContactNodes
	}
	return c.replicas[:1]
}

func (c *Cluster) hasKeys(replica string) bool {
	return c.ipsec != nil && !slices.Contains(c.ipsec.Without, replica)
}

// ipsecMode is the line of a service or of the home agent.
func (c *Cluster) ipsecMode(host string) string {
	if c.ipsec == nil || host != "ha" && (!c.hasKeys(host) || c.ipsec.KeysOnlyAtHomeAgent) {
		return ""
	}
	return fmt.Sprintf("ipsec = %q\n", c.ipsec.Mode)
}

// ipsecSections are a host's [[ipsec]].
func (c *Cluster) ipsecSections(b *strings.Builder, host string) {
	c.eachPair(func(s Service, replica string) {
		if host == "ha" || host == replica && !c.ipsec.KeysOnlyAtHomeAgent {
			fmt.Fprintf(b, "\n[[ipsec]]\ncontact_address = %q\ncare_of         = %q\nhome_agent      = %q\nkeys            = %q\n",
				s.Contact.Addr(), addressOf(replica), lab.HomeAgent, c.Keys(host, s.Name, replica))
		}
	})
}

// eachPair calls f for each service and contact node that have keys; services
// that share a contact address have one pair.
func (c *Cluster) eachPair(f func(s Service, replica string)) {
	if c.ipsec == nil || c.ipsec.Mode == "off" {
		return
	}
	for i, s := range c.services {
		if slices.ContainsFunc(c.services[:i], func(o Service) bool { return o.Contact.Addr() == s.Contact.Addr() }) {
			continue
		}
		for _, replica := range c.contactNodes(s) {
			if c.hasKeys(replica) {
				f(s, replica)
			}
		}
	}
}

// makeKeys has vanyctl make a key file for each pair, and copies it to both ends.
func (c *Cluster) makeKeys(ctx context.Context) (err error) {
	c.eachPair(func(s Service, replica string) {
		if err != nil {
			return
		}
		from, to := c.Keys("ha", s.Name, replica), c.Keys(replica, s.Name, replica)
		for _, f := range []string{from, to} {
			if err = os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
				return
			}
		}
		args := []string{"keys", "new", from}
		if c.ipsec.Algorithm != "" {
			args = append(args, "--algorithm", c.ipsec.Algorithm)
		}
		if _, err = c.vanyctl(ctx, args...); err != nil {
			return
		}
		var text []byte
		if text, err = os.ReadFile(from); err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
	})
	return err
}

// VanyctlCommand is the operator's command line, asking a host's daemon.
func (c *Cluster) VanyctlCommand(ctx context.Context, host string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(c.bin, "vanyctl"), append([]string{"--socket", c.Socket(host)}, args...)...)
}

// Vanyctl runs it, and gives its standard output.
func (c *Cluster) Vanyctl(ctx context.Context, host string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := c.VanyctlCommand(ctx, host, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("vanyctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// AddressOf is the address of a host of the laboratory, as text.
func AddressOf(name string) string { return addressOf(name) }
