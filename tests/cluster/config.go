package cluster

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vanycast/vanycast/tests/lab"
)

// Service is a [[service]] of every replica.
type Service struct {
	Name         string
	Contact      netip.AddrPort
	ContactNodes []string // names of hosts, by preference; default: the first replica
	Policy       string   // default: random
	NeverSelf    bool
	ContactOnly  bool
	Extra        []string // further lines, as `connect_timeout = "1s"`
}

// Echo is the thesis's example service: clients are always handed to another
// replica, so that every H is seen to move.
func Echo() Service {
	return Service{
		Name:      "echo",
		Contact:   netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000),
		NeverSelf: true,
	}
}

// PeerPort is where replicas listen for each other.
const PeerPort = 4100

// addressOf is the address of a host of the laboratory, as text.
func addressOf(name string) string {
	site, ok := lab.SiteOf(name)
	if !ok {
		panic("cluster: no host " + name) // a mistake in the test, not an event
	}
	return site.Addr.String()
}

// quoted is a TOML list of the hosts' addresses.
func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("%q", addressOf(name))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// replicaFile is the configuration of a replica.
func (c *Cluster) replicaFile(name string) string {
	var b strings.Builder
	c.nodeSection(&b, name, "replica")
	fmt.Fprintf(&b, "care_of   = %q\n", addressOf(name))
	c.apiSection(&b, name)
	fmt.Fprintf(&b, "\n[peers]\nlisten      = \"[%s]:%d\"\n", addressOf(name), PeerPort)
	fmt.Fprintf(&b, "certificate = %q\nkey         = %q\nauthority   = \"ca.pem\"\n", name+".pem", name+".key")
	for _, s := range c.services {
		nodes, policy := c.contactNodes(s), s.Policy
		if policy == "" {
			policy = "random"
		}
		fmt.Fprintf(&b, "\n[[service]]\nname            = %q\n", s.Name)
		fmt.Fprintf(&b, "contact_address = %q\nport            = %d\n", s.Contact.Addr(), s.Contact.Port())
		fmt.Fprintf(&b, "home_agent      = %q\n", lab.HomeAgent)
		fmt.Fprintf(&b, "contact_nodes   = %s\nreplicas        = %s\n", quoted(nodes), quoted(c.replicas))
		fmt.Fprintf(&b, "policy          = %q\n", policy)
		if s.NeverSelf {
			b.WriteString("never_self      = true\n")
		}
		if s.ContactOnly {
			b.WriteString("contact_only    = true\n")
		}
		b.WriteString(c.ipsecMode(name))
		for _, line := range s.Extra {
			b.WriteString(line + "\n")
		}
	}
	c.ipsecSections(&b, name)
	return b.String()
}

// homeAgentFile is the configuration of the home agent.
func (c *Cluster) homeAgentFile(name string) string {
	var b strings.Builder
	c.nodeSection(&b, name, "home-agent")
	c.apiSection(&b, name)
	fmt.Fprintf(&b, "\n[home_agent]\nprefix  = %q\naddress = %q\n", lab.HomePrefix, lab.HomeAgent)
	if c.flows {
		fmt.Fprintf(&b, "replicas = %s\n", quoted(c.replicas))
	}
	b.WriteString(c.ipsecMode(name))
	c.ipsecSections(&b, name)
	return b.String()
}

// correspondentFile is the configuration of a client's host.
func (c *Cluster) correspondentFile(name string) string {
	var b strings.Builder
	c.nodeSection(&b, name, "correspondent")
	c.apiSection(&b, name)
	return b.String()
}

func (c *Cluster) nodeSection(b *strings.Builder, name, role string) {
	fmt.Fprintf(b, "[node]\nname      = %q\nroles     = [%q]\ninterface = \"eth0\"\n", name, role)
	if kind := c.planes[name]; kind != "" {
		fmt.Fprintf(b, "dataplane = %q\n", kind)
	}
}

// apiSection has a socket of its own for every host, for the hosts share this
// machine's files, and lets in the group of the unprivileged servers.
func (c *Cluster) apiSection(b *strings.Builder, name string) {
	fmt.Fprintf(b, "\n[api]\nsocket = %q\ngroup  = %q\n", c.Socket(name), serverGroup)
}
