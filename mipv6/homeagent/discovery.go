package homeagent

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// icmp takes an ICMPv6 message that is for a home agent.
func (c *core) icmp(now time.Time, m homelink.ICMP) []action {
	if len(m.Data) > 0 && m.Data[0] < 128 { // RFC 4443 §2.1: an error
		return c.tunnelError(now, m)
	}
	q, err := nd.ParseQuery(m.Data)
	if err != nil {
		c.count(CounterMalformed)
		return nil
	}
	if !mipv6.IsUnicastRoutable(m.Src) {
		c.count(CounterInvalid)
		return nil
	}
	if q.Type == nd.TypeHomeAgentRequest {
		return c.discover(now, m, q)
	}
	return c.solicited(now, m, q)
}

// discover answers a Home Agent Address Discovery Request (RFC 6275 §10.5): by
// our own address, for an anycast address says nothing of itself.
func (c *core) discover(now time.Time, m homelink.ICMP, q nd.Query) []action {
	if m.Dst != c.anycast {
		return nil
	}
	p := &mipv6.Packet{Src: c.cfg.Address, Dst: m.Src, NextHeader: nd.Protocol}
	p.Payload = nd.HomeAgentReply(q.Identifier, c.homeAgents(now), p.Src, p.Dst)
	c.count(CounterDiscoveries)
	return c.limited(now, p)
}

// solicited answers a Mobile Prefix Solicitation (§10.6.2). Only registered
// mobile nodes are told (§6.7); the answer goes to the care-of address.
func (c *core) solicited(now time.Time, m homelink.ICMP, q nd.Query) []action {
	b, ok := c.cache.Lookup(now, bindings.Key{Local: m.Dst, Home: m.Src})
	if !ok || m.Dst != c.cfg.Address {
		c.count(CounterInvalid)
		return nil
	}
	p := &mipv6.Packet{Src: c.cfg.Address, Dst: b.CareOf, RoutingHome: b.Home, NextHeader: nd.Protocol}
	p.Payload = nd.PrefixAdvertisement(q.Identifier, c.prefixes(now), p.Src, b.Home)
	c.count(CounterPrefixes)
	return c.limited(now, p)
}

// prefixes are those of the home link (§10.6.1), ours first and with our address
// in full (§6.8), the others with what is left of their lifetimes.
func (c *core) prefixes(now time.Time) []nd.PrefixInformation {
	c.forgetAgents(now)
	list := []nd.PrefixInformation{c.ownPrefix()}
	var others []nd.PrefixInformation
	for _, l := range c.learned {
		info := l.info
		if info.Valid != nd.Infinity {
			passed := info.Valid - l.expires.Sub(now)
			info.Valid = l.expires.Sub(now).Truncate(time.Second)
			if info.Preferred != nd.Infinity {
				info.Preferred = max(0, info.Preferred-passed).Truncate(time.Second)
			}
		}
		others = append(others, info)
	}
	slices.SortFunc(others, func(a, b nd.PrefixInformation) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), a.Prefix.Bits()-b.Prefix.Bits())
	})
	return append(list, others...)
}

// ownPrefix is the home prefix as this home agent advertises it (§7.2).
func (c *core) ownPrefix() nd.PrefixInformation {
	return nd.PrefixInformation{
		Prefix: netip.PrefixFrom(c.cfg.Address, c.cfg.Prefix.Bits()), OnLink: true, Autonomous: true, RouterAddress: true,
		Valid: c.cfg.PrefixValid, Preferred: c.cfg.PrefixPreferred,
	}
}
