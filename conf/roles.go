package conf

import (
	"math"
	"net/netip"
)

func (r *reader) homeAgent(t *table, iface string) *HomeAgent {
	h := &HomeAgent{
		Interface:     t.iface("interface", iface),
		Address:       t.address("address"),
		MaxLifetime:   t.lifetime("max_lifetime", defaultMaxLifetime, maxLifetime),
		MaxBindings:   t.integer("max_bindings", defaultHomeBindings, 1, maxEntries),
		HomeAddresses: t.addresses("home_addresses"),
		IPsec:         t.ipsecMode(),

		Preference:      uint16(t.integer("preference", 0, 0, math.MaxUint16)),
		PrefixValid:     t.seconds("valid_lifetime", defaultPrefixValid, maxPrefixLifetime),
		PrefixPreferred: t.seconds("preferred_lifetime", 0, maxPrefixLifetime),
		Advertise:       t.boolean("advertise"),
		AdvertInterval:  t.seconds("advert_interval", defaultAdvertInterval, maxAdvertInterval),
		AgentLifetime:   t.seconds("agent_lifetime", 0, maxAgentLifetime),
	}
	switch {
	case h.PrefixPreferred == 0:
		h.PrefixPreferred = min(defaultPrefixPreferred, h.PrefixValid)
	case h.PrefixPreferred > h.PrefixValid:
		t.fail("preferred_lifetime", "%s is longer than valid_lifetime, %s", h.PrefixPreferred, h.PrefixValid)
	}
	if h.AdvertInterval < minAdvertInterval {
		t.fail("advert_interval", "%s is too short: at least %s", h.AdvertInterval, minAdvertInterval)
	}
	for _, key := range []string{"advert_interval", "agent_lifetime"} {
		if t.has(key) && !h.Advertise {
			t.fail(key, "means nothing without advertise = true")
		}
	}
	if s, ok := get[string](t, "prefix", `an IPv6 prefix in quotes, as "2001:db8:9::/64"`); ok {
		h.Prefix = t.prefix("prefix", s)
	}
	for _, s := range t.list("care_of") {
		if p := t.prefix("care_of", s); p.IsValid() {
			h.CareOf = append(h.CareOf, p)
		}
	}
	t.require("prefix")
	inside := func(key string, a netip.Addr) {
		if h.Prefix.IsValid() && a.IsValid() && !h.Prefix.Contains(a) {
			t.fail(key, "%s is not in the prefix %s", a, h.Prefix)
		}
	}
	inside("address", h.Address)
	for _, a := range h.HomeAddresses {
		inside("home_addresses", a)
		if a == h.Address {
			t.fail("home_addresses", "%s is the home agent's own address", a)
		}
	}
	t.unknown()
	return h
}

func (r *reader) correspondent(c *Config, t *table) {
	if t == nil {
		if c.Has(RoleCorrespondent) {
			c.Correspondent = &Correspondent{MaxBindings: defaultMaxBindings}
		}
		return
	}
	c.Correspondent = &Correspondent{MaxBindings: t.integer("max_bindings", defaultMaxBindings, 1, maxEntries)}
	t.unknown()
}
