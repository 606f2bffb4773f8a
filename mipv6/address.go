package mipv6

import "net/netip"

// IsUnicastRoutable tells whether a is a unicast routable address, the only
// sort that a home or care-of address may be (RFC 6275 §3.1, §9.3.1, §9.5.1):
// IPv6, not unspecified, loopback, multicast, link-local or IPv4-mapped.
func IsUnicastRoutable(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsLoopback() &&
		!a.IsMulticast() && !a.IsLinkLocalUnicast()
}
