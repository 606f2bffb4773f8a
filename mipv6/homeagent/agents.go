package homeagent

import (
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// neighbourAgent is another home agent on the home link: an entry of the Home Agents
// List (RFC 6275 §10.1).
type neighbourAgent struct {
	preference uint16
	addrs      []netip.Addr // its global addresses
	expires    time.Time
}

// routerHeard takes a Router Advertisement (§10.5.1). One that does not say that
// its sender is a home agent, or for how long it is one, takes it off the list.
func (c *core) routerHeard(now time.Time, n homelink.Neighbour) []action {
	r := n.Router
	c.learn(now, r)
	key := n.Src.WithZone("")
	preference, lifetime := uint16(0), r.Lifetime
	if r.Agent != nil {
		preference, lifetime = r.Agent.Preference, r.Agent.Lifetime
	}
	if !r.HomeAgent || lifetime <= 0 {
		delete(c.agents, key)
		return nil
	}
	a, known := c.agents[key]
	if !known {
		if len(c.agents) >= maxAgents {
			c.count(CounterAgentsLost)
			return nil
		}
		a = &neighbourAgent{}
		c.agents[key] = a
	}
	a.preference, a.expires = preference, now.Add(lifetime)
	var addrs []netip.Addr
	for _, p := range r.Prefixes {
		if addr := p.Prefix.Addr(); p.RouterAddress && mipv6.IsUnicastRoutable(addr) && !slices.Contains(addrs, addr) && len(addrs) < maxAgentAddrs {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) > 0 || !known { // an advertisement may leave options out (RFC 4861 §6.2.3)
		a.addrs = addrs
	}
	return nil
}

// forgetAgents removes those that have not been heard in time.
func (c *core) forgetAgents(now time.Time) {
	for key, a := range c.agents {
		if !now.Before(a.expires) {
			delete(c.agents, key)
		}
	}
	for prefix, l := range c.learned {
		if !now.Before(l.expires) {
			delete(c.learned, prefix)
		}
	}
}

// homeAgents are the addresses of all home agents of the link, this one among
// them, the preferred first; those of one preference in random order (§10.5).
func (c *core) homeAgents(now time.Time) []netip.Addr {
	c.forgetAgents(now)
	type entry struct {
		preference uint16
		tie        uint32
		addrs      []netip.Addr
	}
	list := []entry{{c.cfg.Preference, c.randomNumber(), []netip.Addr{c.cfg.Address}}}
	for _, key := range sortedAddrs(c.agents) {
		a := c.agents[key]
		list = append(list, entry{a.preference, c.randomNumber(), a.addrs})
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		if a.preference != b.preference {
			return int(b.preference) - int(a.preference)
		}
		return int(int64(a.tie) - int64(b.tie))
	})
	var addrs []netip.Addr
	for _, e := range list {
		addrs = append(addrs, e.addrs...)
	}
	return addrs
}

// randomNumber is 0 if the random source fails: an order is not a secret.
func (c *core) randomNumber() uint32 {
	var b [4]byte
	if _, err := io.ReadFull(c.random, b[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(b[:])
}

// learnedPrefix is a prefix of the home link that another router advertises.
type learnedPrefix struct {
	info    nd.PrefixInformation
	expires time.Time
}

// learn notes the other prefixes of the home link: mobile nodes are told of them
// (§10.6.1).
func (c *core) learn(now time.Time, r *nd.RouterAdvertisement) {
	for _, p := range r.Prefixes {
		prefix := p.Prefix.Masked()
		if prefix == c.cfg.Prefix || !p.OnLink && !p.Autonomous || !mipv6.IsUnicastRoutable(prefix.Addr().Next()) {
			continue
		}
		if _, known := c.learned[prefix]; !known && len(c.learned) >= maxLearned {
			continue
		}
		if p.Valid <= 0 {
			delete(c.learned, prefix)
			continue
		}
		p.RouterAddress, p.Prefix = false, prefix
		c.learned[prefix] = learnedPrefix{p, now.Add(min(p.Valid, maxRemembered))}
	}
}
