// Package xfrm is the data plane of kernels built with Mobile IPv6
// (CONFIG_IPV6_MIP6): the kernel makes and takes the headers, told by states and
// policies of its XFRM; an ip6tnl interface is the tunnel.
//
//	         socket on HOME (/128, deprecated, home address, on lo)
//	              │                                      ▲
//	rule from HOME│ table: default into the tunnel       │ local delivery
//	              ▼                                      │
//	  policy out: HOME → client?                policies in: may it have
//	   yes │             │ no                   come with these headers?
//	   hao │        ┌────┴────┐           ┌─────────┐    ▲ route2
//	       │        │ ip6tnl  │           │ ip6tnl  │────┤
//	       ▼        └────┬────┘           └────▲────┘    │
//	                     ▼      interface      │         │
//
// What is declared is, in the words of `ip xfrm` (all states mode ro, all policies
// ptype sub and all templates level use, so that IPsec's policies apply too):
//
//   - The host: a policy that lets whole packets of ours, which are Mobility
//     Headers, pass by everything else; a state src :: dst :: proto hao flag wildrecv
//     coa :: and a policy, which take the Home Address option off Mobility Headers.
//   - A contact address: state src :: dst HOME proto route2 flag wildrecv coa COA,
//     and the home registration's src HOME dst AGENT proto hao coa COA.
//   - An optimised flow: state src HOME dst CLIENT proto hao coa COA, a policy out
//     with it, a policy in with route2; with ports, if it is a connection. A held one: a policy in that blocks, and a
//     filter on the tunnel.
//   - A binding at a correspondent: two states with coa, src HOME dst LOCAL proto hao
//     and src LOCAL dst HOME proto route2, and a policy for each; a host route for
//     HOME, which tells TCP of the room that the headers take.
//   - A tunnel at the home agent: ip6tnl, and a host route into it.
//
// Routes by other replicas, single connections off the tunnel, what is kept and what
// is steered are done by eBPF programs beside the kernel: see beside.go. Where they
// are, held flows are held by them too.
//
// The kernel drops, by itself and in silence, a packet with one of these headers
// that no policy expects; one with a Home Address option it reports, and that is
// where Events come from. See guard.go for what policies cannot see.
//
// States and templates carry reqid 145, policies priorities from 145000,
// interfaces the name vanycast…, filters preference 145 or 146, rules and routes what
// package hostnet says: so a new process finds, and takes away, what a dead one
// left. There is one plane per network namespace.
//
// ESP is apart from Plane: the kernel's IPsec between a replica and its home agent,
// states and policies of type main, told by package ipsec.
//
// Limits. The kernel cuts superpackets (GSO) of optimised flows before it inserts
// their headers. A flow declared Tunnelled has no stamp.
package xfrm
