package conf

import (
	"net/netip"
	"path/filepath"
)

func (r *reader) peers(t *table, dir string) *Peers {
	p := &Peers{
		Certificate: t.file("certificate", dir),
		Key:         t.file("key", dir),
		Authority:   t.file("authority", dir),
	}
	if s, ok := get[string](t, "listen", `an address and port in quotes, as "[2001:db8:1::10]:4100"`); ok {
		p.Listen = t.addrPort("listen", s)
	}
	t.require("listen", "certificate", "key", "authority")
	t.unknown()
	return p
}

func (t *table) addrPort(key, s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		t.fail(key, `%q is not an address and port, as "[2001:db8:1::10]:4100"`, s)
		return netip.AddrPort{}
	}
	if _, err := unicast(ap.Addr().String()); err != nil {
		t.fail(key, "%v", err)
		return netip.AddrPort{}
	}
	return ap
}

// file gives an absolute path; a relative one is meant relative to the folder
// of the configuration file.
func (t *table) file(key, dir string) string {
	s := t.str(key, "")
	if s == "" || filepath.IsAbs(s) {
		return s
	}
	abs, err := filepath.Abs(filepath.Join(dir, s))
	if err != nil {
		t.fail(key, "%v", err)
	}
	return abs
}

func (r *reader) service(t *table) Service {
	s := Service{
		Name:                t.name("name", ""),
		ContactAddress:      t.address("contact_address"),
		Port:                t.port("port"),
		Backlog:             t.integer("backlog", defaultBacklog, 1, 65535),
		HomeAgent:           t.address("home_agent"),
		ContactNodes:        t.addresses("contact_nodes"),
		Replicas:            t.addresses("replicas"),
		Policy:              t.oneOf("policy", defaultPolicy, "local", "random"),
		Mode:                t.oneOf("mode", defaultMode, "basic", "prepared", "seamless"),
		IPsec:               t.ipsecMode(),
		NeverSelf:           t.boolean("never_self"),
		Steer:               t.flag("steer", true),
		ReturnPath:          ReturnPath(t.oneOf("return_path", string(ReturnTunnel), string(ReturnTunnel), string(ReturnDirect))),
		FlowBindings:        t.oneOf("flow_bindings", "auto", "auto", "off") == "auto",
		ContactOnly:         t.boolean("contact_only"),
		ClearBindingOnClose: t.boolean("clear_binding_on_close"),
		ConnectTimeout:      t.duration("connect_timeout", defaultConnectTimeout, maxTimeout),
		HandoffTimeout:      t.duration("handoff_timeout", defaultHandoffTimeout, maxTimeout),
		AcceptTimeout:       t.duration("accept_timeout", defaultAcceptTimeout, maxTimeout),
		ExcludeTime:         t.duration("exclude_time", defaultExcludeTime, maxTimeout),
		ContactTimeout:      t.duration("contact_timeout", defaultContactTimeout, maxTimeout),
		ContactReturn:       t.duration("contact_return", defaultContactReturn, maxTimeout),
		HomeLifetime:        t.lifetime("home_lifetime", defaultHomeLifetime, maxLifetime),
		BindingLifetime:     t.lifetime("binding_lifetime", maxRRBindingLifetime, maxRRBindingLifetime),
	}
	t.require("name", "contact_address", "port", "home_agent", "contact_nodes", "replicas")
	for _, key := range []string{"contact_nodes", "replicas"} {
		if l, ok := t.m[key].([]any); ok && len(l) == 0 {
			t.fail(key, "is empty")
		}
	}
	if s.ContactTimeout < minContactTimeout {
		t.fail("contact_timeout", "%s is too short: at least %s", s.ContactTimeout, minContactTimeout)
	}
	t.unknown()
	return s
}
