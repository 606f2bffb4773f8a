package homeagent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Config configures the role.
type Config struct {
	// Address is the home agent's address, in the home prefix.
	Address netip.Addr
	// Prefix is the home prefix: home addresses are its addresses.
	Prefix netip.Prefix
	// Interface is the home link's.
	Interface string
	// MaxLifetime caps what is granted; default DefaultMaxLifetime.
	MaxLifetime time.Duration
	// MaxBindings bounds the registrations; default DefaultMaxBindings.
	MaxBindings int
	// Allow says who may register.
	Allow Allow
	// Replicas are the care-of addresses of those who may register beside the one
	// that has the home registration, and have flows of the home address sent to
	// themselves. None: there is one care-of address for each home address.
	Replicas []netip.Addr

	// Preference is this home agent's among those of the link, the greatest
	// first (RFC 6275 §7.4).
	Preference uint16
	// PrefixValid and PrefixPreferred are the lifetimes of the home prefix, which
	// mobile nodes are told (§10.6); no registration is granted for longer than
	// the prefix is valid. Defaults DefaultPrefixValid, DefaultPrefixPreferred.
	PrefixValid, PrefixPreferred time.Duration
	// Advertise has this home agent advertise itself on the home link (§8.4):
	// every AdvertInterval at most, default DefaultAdvertInterval, as a home agent
	// for AgentLifetime, default three intervals.
	Advertise                     bool
	AdvertInterval, AgentLifetime time.Duration
}

// Allow says who may register; what is excluded is refused with status 129. An
// empty list excludes nobody.
type Allow struct {
	Homes  []netip.Addr   // home addresses
	CareOf []netip.Prefix // where care-of addresses come from
}

// Our own limits; those of the protocols are in protocol.go and package mipv6.
const (
	DefaultMaxLifetime = time.Hour
	DefaultMaxBindings = 1024
	// DefaultPrefixValid and DefaultPrefixPreferred are those of RFC 4861 §6.2.1.
	DefaultPrefixValid     = 30 * 24 * time.Hour
	DefaultPrefixPreferred = 7 * 24 * time.Hour
	// DefaultAdvertInterval is MaxRtrAdvInterval of RFC 4861 §6.2.1.
	DefaultAdvertInterval = 600 * time.Second
	// MaxAgentLifetime is what a Home Agent Information option can say.
	MaxAgentLifetime = 65535 * time.Second

	// maxPending bounds how many home addresses are in duplicate address
	// detection at once. Each costs a multicast group while it is.
	maxPending = 1024
	// maxAgents and maxAgentAddrs bound the Home Agents List, maxLearned the
	// prefixes that other routers of the link advertise.
	maxAgents     = 128
	maxAgentAddrs = 8
	maxLearned    = 16
	// maxFlowResults bounds the flow bindings that one acknowledgement speaks of: it
	// must fit in a packet. One that misses many kept ones says so of the first.
	maxFlowResults = 100
	// maxRemembered is for how long such a prefix is told on that is never heard
	// of again, be it valid for ever.
	maxRemembered = 30 * 24 * time.Hour
	// defendInterval is the least time between two defences of one address.
	defendInterval = time.Second
)

func (c Config) withDefaults() Config {
	if c.MaxLifetime <= 0 {
		c.MaxLifetime = DefaultMaxLifetime
	}
	if c.PrefixValid <= 0 {
		c.PrefixValid = DefaultPrefixValid
	}
	if c.PrefixPreferred <= 0 {
		c.PrefixPreferred = min(DefaultPrefixPreferred, c.PrefixValid)
	}
	// §10.3.1: not beyond the prefix's own lifetime.
	c.MaxLifetime = min(c.MaxLifetime, c.PrefixValid, mipv6.MaxLifetime)
	if c.AdvertInterval <= 0 {
		c.AdvertInterval = DefaultAdvertInterval
	}
	if c.AgentLifetime <= 0 {
		c.AgentLifetime = min(3*c.AdvertInterval, MaxAgentLifetime)
	}
	if c.MaxBindings <= 0 {
		c.MaxBindings = DefaultMaxBindings
	}
	return c
}

// check reports contradictions.
func (c Config) check() error {
	switch {
	case !mipv6.IsUnicastRoutable(c.Address):
		return fmt.Errorf("address %v is not a unicast routable IPv6 address", c.Address)
	case !c.Prefix.IsValid() || !c.Prefix.Addr().Is6():
		return fmt.Errorf("prefix %v is not an IPv6 prefix", c.Prefix)
	case !c.Prefix.Contains(c.Address):
		return fmt.Errorf("address %v is not in the home prefix %v", c.Address, c.Prefix)
	case c.Interface == "":
		return errors.New("no interface")
	case c.PrefixPreferred > c.PrefixValid:
		return fmt.Errorf("preferred lifetime %v of the prefix is longer than its valid lifetime %v", c.PrefixPreferred, c.PrefixValid)
	case c.AgentLifetime > MaxAgentLifetime || c.AgentLifetime < time.Second:
		return fmt.Errorf("lifetime %v as a home agent is not within 1s and %v", c.AgentLifetime, MaxAgentLifetime)
	}
	return nil
}

func (a Allow) permits(home, careOf netip.Addr) bool {
	return (len(a.Homes) == 0 || slices.Contains(a.Homes, home)) &&
		(len(a.CareOf) == 0 || slices.ContainsFunc(a.CareOf, func(p netip.Prefix) bool { return p.Contains(careOf) }))
}
