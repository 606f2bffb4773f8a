package conf

import (
	"fmt"
	"net/netip"
	"slices"
)

// IPsecMode says what is done where a registration is not protected.
type IPsecMode string

// The modes of a service, and of the home agent.
const (
	IPsecOff      IPsecMode = "off"      // nothing is protected
	IPsecOptional IPsecMode = "optional" // those with keys ([[ipsec]]) always, others never
	IPsecRequired IPsecMode = "required" // nobody registers without
)

// IPsec is one [[ipsec]]: the keys that a replica and a home agent share for one
// contact address. Both have one.
type IPsec struct {
	ContactAddress netip.Addr
	CareOf         netip.Addr // the replica's; zero at that replica: its own
	HomeAgent      netip.Addr // zero: that of the service, or this home agent
	Keys           string     // absolute path of the key file, see package keyfile
}

func (t *table) ipsecMode() IPsecMode {
	return IPsecMode(t.oneOf("ipsec", string(IPsecOptional), string(IPsecOff), string(IPsecOptional), string(IPsecRequired)))
}

func (r *reader) ipsec(t *table, dir string) IPsec {
	i := IPsec{
		ContactAddress: t.address("contact_address"),
		CareOf:         t.address("care_of"),
		HomeAgent:      t.address("home_agent"),
		Keys:           t.file("keys", dir),
	}
	t.require("contact_address", "keys")
	t.unknown()
	return i
}

// ServiceAt gives the service of a contact address; nil if there is none.
func (c *Config) ServiceAt(contact netip.Addr) *Service {
	i := slices.IndexFunc(c.Services, func(s Service) bool { return s.ContactAddress == contact })
	if i < 0 {
		return nil
	}
	return &c.Services[i]
}

// ipsecMistakes are those of [[ipsec]]. Which end of a pair this host is depends
// on its care-of address.
func (c *Config) ipsecMistakes() Errors {
	var errs Errors
	fail := func(i int, key, format string, args ...any) {
		errs = append(errs, c.where.error(ipsecPath(i, key), format, args...))
	}
	type pair struct{ contact, careOf netip.Addr }
	pairs, files := map[pair]bool{}, map[string]bool{}
	for i, p := range c.IPsec {
		if c.IPsecReplica(p) {
			c.ipsecReplicaMistakes(i, fail)
		} else {
			c.ipsecHomeAgentMistakes(i, fail)
		}
		if careOf := c.ipsecCareOf(p); pairs[pair{p.ContactAddress, careOf}] {
			fail(i, "", "%s has keys with %s already", careOf, p.ContactAddress)
		} else {
			pairs[pair{p.ContactAddress, careOf}] = true
		}
		if p.Keys != "" && files[p.Keys] {
			fail(i, "keys", "%s is the file of another pair; each needs its own, so that one can be shut out", p.Keys)
		}
		files[p.Keys] = true
	}
	for i, s := range c.Services {
		if s.IPsec == IPsecRequired && c.Has(RoleReplica) && slices.Contains(s.ContactNodes, c.Node.CareOf) &&
			!pairs[pair{s.ContactAddress, c.Node.CareOf}] {
			errs = append(errs, c.where.error(servicePath(i, "ipsec"), "is required, but no [[ipsec]] is for %s at %s", s.ContactAddress, c.Node.CareOf))
		}
	}
	return errs
}

func ipsecPath(i int, key string) string {
	path := fmt.Sprintf("ipsec[%d]", i)
	if key == "" {
		return path
	}
	return join(path, key)
}

// IPsecReplica tells whether this host is the replica of the pair; else it is
// the home agent.
func (c *Config) IPsecReplica(p IPsec) bool {
	return c.Has(RoleReplica) && c.ipsecCareOf(p) == c.Node.CareOf
}

func (c *Config) ipsecCareOf(p IPsec) netip.Addr {
	if p.CareOf.IsValid() || !c.Has(RoleReplica) {
		return p.CareOf
	}
	return c.Node.CareOf
}

func (c *Config) ipsecReplicaMistakes(i int, fail func(int, string, string, ...any)) {
	p := &c.IPsec[i]
	s := c.ServiceAt(p.ContactAddress)
	switch {
	case s == nil:
		if p.ContactAddress.IsValid() {
			fail(i, "contact_address", "%s is the contact address of no service", p.ContactAddress)
		}
	case s.IPsec == IPsecOff:
		fail(i, "", "is for service %q, which has ipsec = \"off\"", s.Name)
	case p.HomeAgent.IsValid() && p.HomeAgent != s.HomeAgent:
		fail(i, "home_agent", "%s is not that of service %q, %s", p.HomeAgent, s.Name, s.HomeAgent)
	case !slices.Contains(s.ContactNodes, c.Node.CareOf):
		fail(i, "", "this replica is none of the contact nodes of service %q: it never registers", s.Name)
	}
}

func (c *Config) ipsecHomeAgentMistakes(i int, fail func(int, string, string, ...any)) {
	p, h := &c.IPsec[i], c.HomeAgent
	switch {
	case h == nil:
		fail(i, "care_of", "%s is not this replica's care-of address, and this host is no home agent", p.CareOf)
	case !p.CareOf.IsValid():
		fail(i, "care_of", "is missing: which replica are the keys shared with?")
	case h.IPsec == IPsecOff:
		fail(i, "", "is for the home agent, which has ipsec = \"off\"")
	case h.Prefix.IsValid() && p.ContactAddress.IsValid() && !h.Prefix.Contains(p.ContactAddress):
		fail(i, "contact_address", "%s is not in the home agent's prefix %s", p.ContactAddress, h.Prefix)
	case p.HomeAgent.IsValid() && h.Address.IsValid() && p.HomeAgent != h.Address:
		fail(i, "home_agent", "%s is not the address of this home agent, %s", p.HomeAgent, h.Address)
	}
}
