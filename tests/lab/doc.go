// Package lab builds laboratories: hosts in network namespaces of this kernel,
// joined by veth pairs, for tests, for the demonstration and for use by hand.
// It needs root, and Debian's iproute2 (ip), tcpdump and tshark.
//
// A laboratory belongs to a test (or to a program, see Run): everything that it
// made is taken away when the test ends, processes first, each by its own
// process id and waited for, then namespaces. What an earlier run that was
// killed has left behind is taken away by the next one (see sweep).
//
// Names are made with `ip netns add`, so that `ip netns exec` works by hand:
// a host "glass" of process 1234 is the namespace vc1234.3fa9-glass.
//
// The standard laboratory is that of the thesis's example (§6.2.2), Thesis:
//
//	               2001:db8:9::/64, the home link of the contact addresses
//	                 ┌────────┐
//	                 │   ha   │ home agent, 2001:db8:9::ff
//	                 └───┬────┘
//	                eth0 │
//	                home │ 2001:db8:9::fe
//	  eth0 ┌─────────────┴──────────────┐ eth0
//	┌──────┤           router           ├───────┐
//	│      │ ::1 on every link but home │       │
//	│      └────┬──────────┬────────┬───┘       │
//	│           │          │        │           │
//	│      eth0 │     eth0 │   eth0 │           │
//	│       ┌───┴───┐ ┌────┴──┐ ┌───┴───┐       │
//	│       │ glass │ │ reich │ │ adams │       │
//	│       └───────┘ └───────┘ └───────┘       │
//	│        1::10     2::10     3::10          │
//	│           (2001:db8:…, each a /64)        │
//	│                                           │
//	┌┴───────┐                           ┌──────┴─┐
//	│ modern │ a::10                     │ legacy │ b::10
//	└────────┘                           └────────┘
//	correspondent role                   no Mobile IPv6 at all
//
// The router's interface towards a host carries that host's name; every host's
// own interface is eth0.
package lab
