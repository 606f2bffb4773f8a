package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// contradictions are mistakes that no key shows alone; services tells whether
// the file has any, right or wrong.
func (r *reader) contradictions(c *Config, services bool) {
	need := func(role Role, there bool, path, section string) {
		switch has := c.Has(role); {
		case has && !there:
			r.fail("node.roles", "%s needs the section %s, which is missing", role, section)
		case !has && there:
			r.fail(path, "%s is for the role %s, which [node] roles does not name", section, role)
		}
	}
	// With the roles themselves wrong, the rest would only be noise.
	if len(c.Node.Roles) > 0 {
		need(RoleReplica, c.Peers != nil, "peers", "[peers]")
		need(RoleReplica, services, "service", "[[service]]")
		need(RoleHomeAgent, c.HomeAgent != nil, "home_agent", "[home_agent]")
		if c.Correspondent != nil && !c.Has(RoleCorrespondent) {
			need(RoleCorrespondent, true, "correspondent", "[correspondent]")
		}
	}
	for i := range c.Services {
		r.serviceContradictions(c, i)
	}
}

func (r *reader) serviceContradictions(c *Config, i int) {
	s := &c.Services[i]
	fail := func(key, format string, args ...any) {
		r.fail(servicePath(i, key), format, args...)
	}
	for j := range i {
		other := &c.Services[j]
		if s.Name != "" && s.Name == other.Name {
			fail("name", "%q is the name of another service", s.Name)
		}
		if s.ContactAddress.IsValid() && s.ContactAddress == other.ContactAddress {
			r.sameAddress(i, s, other)
		}
		// The replicas' channel and the handoffs over it are common to all.
		if s.ConnectTimeout != other.ConnectTimeout {
			fail("connect_timeout", "is %s, but %s in service %q; a host has one", s.ConnectTimeout, other.ConnectTimeout, other.Name)
		}
		if s.HandoffTimeout != other.HandoffTimeout {
			fail("handoff_timeout", "is %s, but %s in service %q; a host has one", s.HandoffTimeout, other.HandoffTimeout, other.Name)
		}
	}
	if whose := c.whose(s.ContactAddress); whose != "" {
		fail("contact_address", "%s is %s", s.ContactAddress, whose)
	}
	if h := c.HomeAgent; h != nil && h.Address.IsValid() && h.Address == s.HomeAgent &&
		s.ContactAddress.IsValid() && h.Prefix.IsValid() && !h.Prefix.Contains(s.ContactAddress) {
		fail("contact_address", "%s is not in the prefix of its home agent, which is this host: %s", s.ContactAddress, h.Prefix)
	}
	for _, a := range s.ContactNodes {
		if len(s.Replicas) > 0 && !slices.Contains(s.Replicas, a) {
			fail("contact_nodes", "%s is not one of replicas", a)
		}
	}
	if s.HandoffTimeout < s.ConnectTimeout {
		fail("handoff_timeout", "%s is shorter than connect_timeout, %s", s.HandoffTimeout, s.ConnectTimeout)
	}
}

// sameAddress compares service i with another of its contact address: one
// registration, and one binding of each client, stand for both.
func (r *reader) sameAddress(i int, s, other *Service) {
	if s.Port != 0 && s.Port == other.Port {
		r.fail(servicePath(i, "port"), "%d is the port of service %q on the same contact address", s.Port, other.Name)
	}
	for _, v := range []struct {
		key  string
		same bool // or unknown: then that is the mistake
	}{
		{"home_agent", !s.HomeAgent.IsValid() || !other.HomeAgent.IsValid() || s.HomeAgent == other.HomeAgent},
		{"contact_nodes", len(s.ContactNodes) == 0 || len(other.ContactNodes) == 0 || slices.Equal(s.ContactNodes, other.ContactNodes)},
		{"ipsec", s.IPsec == other.IPsec},
		{"replicas", len(s.Replicas) == 0 || len(other.Replicas) == 0 || slices.Equal(s.Replicas, other.Replicas)},
		{"contact_timeout", s.ContactTimeout == other.ContactTimeout},
		{"contact_return", s.ContactReturn == other.ContactReturn},
		{"home_lifetime", s.HomeLifetime == other.HomeLifetime},
		{"binding_lifetime", s.BindingLifetime == other.BindingLifetime},
	} {
		if !v.same {
			r.fail(servicePath(i, v.key), "is not that of service %q, which has the same contact address", other.Name)
		}
	}
}

// whose says which host has an address that is meant as a contact address;
// empty for none.
func (c *Config) whose(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if a == c.Node.CareOf {
		return "the care-of address of this host"
	}
	for i := range c.Services {
		s := &c.Services[i]
		switch {
		case slices.Contains(s.Replicas, a):
			return fmt.Sprintf("a replica of service %q", s.Name)
		case a == s.HomeAgent:
			return fmt.Sprintf("the home agent of service %q", s.Name)
		}
	}
	return ""
}

func servicePath(i int, key string) string { return fmt.Sprintf("service[%d].%s", i, key) }

// ResolveCareOf settles the care-of address of a host whose file names none:
// it becomes first, the interface's first global address. The checks that
// depend on it are made; mistakes come back as Errors. It does nothing if the
// file names one.
func (c *Config) ResolveCareOf(first netip.Addr) error {
	if c.Node.CareOf.IsValid() {
		return nil
	}
	if !first.IsValid() {
		return errors.New("configuration: no care-of address: [node] care_of is not set and interface " +
			c.Node.Interface + " has no global address")
	}
	c.Node.CareOf = first
	if errs := c.careOfMistakes(); len(errs) > 0 {
		c.Node.CareOf = netip.Addr{}
		return errs.sorted()
	}
	return nil
}

// careOfMistakes needs the care-of address to be known.
func (c *Config) careOfMistakes() Errors {
	var errs Errors
	own := c.Node.CareOf
	fail := func(path, format string, args ...any) {
		errs = append(errs, c.where.error(path, format, args...))
	}
	if c.Peers != nil && c.Peers.Listen.IsValid() && c.Peers.Listen.Addr() != own {
		fail("peers.listen", "%s is not the care-of address of this host, %s; peers know it by that", c.Peers.Listen.Addr(), own)
	}
	errs = append(errs, c.ipsecMistakes()...)
	if !c.Has(RoleReplica) {
		return errs
	}
	for i := range c.Services {
		if s := &c.Services[i]; len(s.Replicas) > 0 && !slices.Contains(s.Replicas, own) {
			fail(servicePath(i, "replicas"), "the care-of address of this host, %s, is not among them", own)
		}
	}
	return errs
}
