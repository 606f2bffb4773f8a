package framework

import (
	"fmt"
	"net/netip"
	"time"
)

// Config describes one service at this replica.
type Config struct {
	Service string         // its name, not empty
	Contact netip.AddrPort // contact address and port; port 0 for any, tests only
	// Backlog bounds the clients that wait for an application here, and those
	// being distributed at one time. Default 128.
	Backlog int
	// Policy names the distribution policy: "local" (default) or "random".
	Policy string
	// NeverSelf: clients are served here only if no other replica is left.
	NeverSelf bool
	// ContactOnly: only the contact node distributes; at any other replica
	// clients that connect are for the local application.
	ContactOnly bool
	// Steer: where the policy allows (Early), the contact node decides at the SYN who
	// serves a client, and this replica takes what is steered to it.
	Steer bool
	// ClearOnClose: a client's binding is cleared after its last connection
	// was closed here, so that it finds the contact node again.
	ClearOnClose bool
	Replicas     []netip.Addr // care-of addresses of all replicas, Self may be among them
	Self         netip.Addr   // this replica's care-of address
	// AcceptTimeout is how long a client waits for the local application
	// before it is offered elsewhere. Default 5 s.
	AcceptTimeout time.Duration
	// ExcludeFor is how long a replica that failed is not selected. Default 30 s.
	ExcludeFor time.Duration
	// Linger is how long the closing of a connection waits for the client
	// while nothing is acknowledged or received. Default 5 s.
	Linger time.Duration

	fallsBack bool // Deps.Fallback is there
}

const (
	defaultBacklog       = 128
	defaultAcceptTimeout = 5 * time.Second
	defaultExcludeFor    = 30 * time.Second
	defaultLinger        = 5 * time.Second
)

// lingerMax bounds the closing of one connection altogether, in units of
// Config.Linger: a client that goes on acknowledging a byte now and then does
// not keep a descriptor for ever.
const lingerMax = 12

// maxTries bounds the targets tried for one client at one time.
const maxTries = 16

// reserveFor is how long an admitted client that does not arrive keeps its
// place in the queue. It is longer than any handoff takes.
const reserveFor = 20 * time.Second

// clearTimeout bounds the clearing of a binding after a connection was closed.
const clearTimeout = 10 * time.Second

// withDefaults checks the configuration and fills in what is not set.
func (c Config) withDefaults() (Config, error) {
	if c.Backlog == 0 {
		c.Backlog = defaultBacklog
	}
	if c.Policy == "" {
		c.Policy = PolicyLocal
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.AcceptTimeout, defaultAcceptTimeout}, {&c.ExcludeFor, defaultExcludeFor}, {&c.Linger, defaultLinger}} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < 0 {
			return c, fmt.Errorf("framework: service %q: negative duration %v", c.Service, *d.v)
		}
	}
	switch {
	case c.Service == "":
		return c, fmt.Errorf("framework: service without a name")
	case !c.Contact.Addr().Is6() || c.Contact.Addr().Is4In6():
		return c, fmt.Errorf("framework: service %q: contact address %v is not IPv6", c.Service, c.Contact)
	case !c.Self.IsValid():
		return c, fmt.Errorf("framework: service %q: no care-of address", c.Service)
	case c.Backlog < 0:
		return c, fmt.Errorf("framework: service %q: negative backlog %d", c.Service, c.Backlog)
	}
	return c, nil
}
