// Package homelink is a home agent's hold on its home link (RFC 6275 §10.4.1):
// the kernel's proxy neighbour discovery for registered home addresses, and
// what the neighbours there say.
//
// While a [Link] is open the host forwards (net.ipv6.conf.all.forwarding) and
// does proxy neighbour discovery (all.proxy_ndp), on the home link without delay
// (neigh.proxy_delay). Close puts the old values back. It also hears what mobile
// nodes ask a home agent by ICMPv6, by the link's anycast address too.
//
// What a Link puts into the kernel says whose it is: proxy entries have our
// routing protocol number (NDA_PROTOCOL). So after a crash the next Open finds
// and removes them. The old values of the sysctls survive in one more proxy
// entry, for an address of the discard-only prefix 100::/64 (RFC 6666) that
// nobody asks for.
package homelink
