package lab

import "net/netip"

// Addresses of the standard laboratory.
const (
	HomePrefix     = "2001:db8:9::/64"
	HomeAgent      = "2001:db8:9::ff"
	HomeRouter     = "2001:db8:9::fe"
	ContactAddress = "2001:db8:9::1"
)

// ThesisNet is the standard laboratory; see the package comment for its plan.
type ThesisNet struct {
	*Net
	Router, HA, Glass, Reich, Adams, Modern, Legacy *Host
}

// Site is a host of the standard laboratory with its place in it.
type Site struct {
	Name   string
	Addr   netip.Addr   // the host's
	Prefix netip.Prefix // its link's
	Router netip.Addr   // the router's address on its link
}

// Sites are the hosts around the router, and where each is.
func Sites() []Site {
	sites := []Site{{Name: "ha", Addr: netip.MustParseAddr(HomeAgent), Prefix: netip.MustParsePrefix(HomePrefix), Router: netip.MustParseAddr(HomeRouter)}}
	for _, s := range []struct{ name, link string }{
		{"glass", "2001:db8:1::"}, {"reich", "2001:db8:2::"}, {"adams", "2001:db8:3::"},
		{"modern", "2001:db8:a::"}, {"legacy", "2001:db8:b::"},
	} {
		sites = append(sites, Site{
			Name:   s.name,
			Addr:   netip.MustParseAddr(s.link + "10"),
			Prefix: netip.MustParsePrefix(s.link + "/64"),
			Router: netip.MustParseAddr(s.link + "1"),
		})
	}
	return sites
}

// SiteOf is the place of one host; ok is false for a name that is none.
func SiteOf(name string) (site Site, ok bool) {
	for _, s := range Sites() {
		if s.Name == name {
			return s, true
		}
	}
	return Site{}, false
}

// Replicas are the names of the three replicas.
func Replicas() []string { return []string{"glass", "reich", "adams"} }

// Thesis makes the standard laboratory. Link options are for all its links.
func Thesis(tb TB, opts ...LinkOption) *ThesisNet {
	tb.Helper()
	return ThesisOn(New(tb), opts...)
}

// ThesisOn makes the standard laboratory in an empty one.
func ThesisOn(n *Net, opts ...LinkOption) *ThesisNet {
	n.tb.Helper()
	router := n.Host("router")
	router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	for _, s := range Sites() {
		h := n.Host(s.Name)
		port := s.Name
		if s.Name == "ha" {
			port = "home"
			// The home agent passes on what comes through its tunnels.
			h.Sysctl("net.ipv6.conf.all.forwarding", "1")
		}
		n.Link(router, h, append([]LinkOption{Names(port, "eth0")}, opts...)...)
		router.Addr(port, netip.PrefixFrom(s.Router, s.Prefix.Bits()))
		h.Addr("eth0", netip.PrefixFrom(s.Addr, s.Prefix.Bits()))
		h.Route(netip.MustParsePrefix("::/0"), s.Router)
	}
	return &ThesisNet{
		Net: n, Router: router, HA: n.Lookup("ha"),
		Glass: n.Lookup("glass"), Reich: n.Lookup("reich"), Adams: n.Lookup("adams"),
		Modern: n.Lookup("modern"), Legacy: n.Lookup("legacy"),
	}
}
