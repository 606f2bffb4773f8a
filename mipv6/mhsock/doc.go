// Package mhsock carries Mobility Headers (RFC 6275 §6.1) between the roles
// of this host and the network, on kernels with and without Mobile IPv6.
//
// A [Socket] is three raw sockets, for the kernel gives no single one that
// does it all:
//
//   - IPPROTO_MH receives. The kernel verifies the checksum. Where a packet
//     had a Home Address option, the data plane (or the kernel's own Mobile
//     IPv6) has put the home address in the source's place before the socket
//     sees it, and the care-of address in the option, which arrives as
//     ancillary data.
//   - IPPROTO_RAW sends whole packets: the kernel refuses a type 2 routing
//     header as ancillary data, and Mobility Headers must bypass the binding
//     cache (§6.1). IPV6_PKTINFO names the source, so that routing rules of the
//     contact address hold.
//   - IPPROTO_ICMPV6 receives the errors that our Mobility Headers draw: the
//     sign that a peer has no Mobile IPv6.
//
// One Socket serves all roles of a daemon; they see it as a [Conn]. Package
// mhtest has a fake one.
package mhsock
