// Package tcbpf is the data plane for kernels built without Mobile IPv6: two
// eBPF programs at the tc hooks of one interface, and the addresses, rules and
// routes that lead packets by them.
//
//	            socket on HOME (/128, deprecated, on lo)
//	                 │                         ▲
//	rule from HOME   │ table: next hop of the  │ local delivery
//	                 ▼ home agent, MTU − 40    │
//	          ┌─────────────┐           ┌──────┴──────┐
//	          │ tc egress   │           │ tc ingress  │
//	          │ +HAO, +RH2, │           │ −HAO, −RH2, │
//	          │ +IPv6       │           │ −IPv6       │
//	          └──────┬──────┘           └──────▲──────┘
//	                 ▼        interface        │
//
// The programs only look up whose a packet is and rewrite it; they are in
// bpf/, one file per role. What is here puts the declared state into their maps
// and into the routing tables:
//
//   - A contact address has a table of its own whose default route mirrors the
//     host's route to the home agent, reached by a rule on the source address. A
//     second rule makes everything else from that source unreachable, so that no
//     packet of a contact address leaves by another way.
//   - A client whose next hop differs from the home agent's (one on our own link)
//     has a host route in that table while its route is optimised.
//   - A home address with a binding or a tunnel has a host route in the main table
//     that mirrors the route to the care-of address.
//   - All these routes say an MTU of 40 bytes less than the link's: that is how TCP
//     comes to a segment size that leaves room for the headers, and how a home agent
//     answers Packet Too Big. Packet Too Big messages of routers further on
//     quote rewritten packets; they are translated (see toobig.go).
//
// Rules and routes carry a routing protocol number (see mipv6/internal/hostnet) and filters are called
// vanycast_…: so a new process finds, and takes away, what a dead one left. The
// filters themselves stay attached when the process dies, and so no packet leaves
// unrewritten while nobody is there. There is one plane per network namespace.
//
// A packet that arrives at a contact address neither through the tunnel nor with a
// routing header is dropped, whatever its protocol: a replica is never at home
// (RFC 6275 §11.5.5), nothing legitimate comes that way, and anyone on
// the link could send it.
//
// Limits. A path between home agent and replica must carry 1320 bytes (the
// tunnel does not fragment: RFC 2473 §7.1); tunnelled packets that someone
// else fragmented are not taken apart. The interface's gso_max_size must stay at
// most 65536 (no jumbograms). Interfaces are Ethernet, or have no link
// header at all (TUN, PPP).
package tcbpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -cc clang -strip llvm-strip -no-global-types -cflags "-O2 -mcpu=v2 -Wall -Wextra -Werror" programs bpf/vanycast.c
