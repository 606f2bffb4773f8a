// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * Mobile IPv6 (RFC 6275) for a kernel without it: two programs, at the egress
 * and at the ingress of one interface. Per packet they look up whose it is, and
 * hand it to the role's own file. Two more stand at the interface where packets
 * are kept. Beside the kernel's own Mobile IPv6 the one at the egress is replaced
 * by two: at the mouth of the kernel's tunnel, and where what they send leaves.
 */
#include "correspondent.h"
#include "homeagent.h"
#include "mobilenode.h"
#include "mouth.h"

char __license[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int vanycast_egress(struct __sk_buff *skb)
{
	struct ipv6 h;
	struct contact *c;
	struct binding *b;
	struct tunnel *t;
	struct pair pair;

	if (!load_ipv6(skb, &h))
		return PASS;
	c = bpf_map_lookup_elem(&contacts, &h.source);
	if (c)
		return mobile_egress(skb, &h, c);
	pair.local = h.source;
	pair.home = h.destination;
	b = bpf_map_lookup_elem(&bindings, &pair);
	/* Section 6.1: Mobility Headers never follow a binding. */
	if (b && upper_layer(skb, IPV6_LENGTH, h.next_header) != MOBILITY)
		return correspondent_egress(skb, &h, b);
	t = bpf_map_lookup_elem(&tunnels, &h.destination);
	if (t)
		return home_agent_egress(skb, &h, t);
	return PASS;
}

/* IPv6 in IPv6 to us; what no contact address and no tunnel claims is left for the kernel to answer. */
inline int tunnel_ingress(struct __sk_buff *skb, struct ipv6 *outer, __u32 size)
{
	struct contact *to, *from;
	struct ipv6 inner;
	int verdict;

	if (load(skb, size, &inner, sizeof(inner)) < 0)
		return PASS;
	if ((inner.flow & htonl(0xf0000000)) != htonl(0x60000000))
		return PASS;
	to = bpf_map_lookup_elem(&contacts, &inner.destination);
	if (to && !to->gone && equal(&outer->destination, &to->care_of)) {
		verdict = mobile_tunnelled_in(skb, outer, &inner, size, to);
		if (verdict != UNCLAIMED)
			return verdict;
	}
	verdict = home_agent_decapsulate(skb, outer, &inner, size);
	if (verdict != UNCLAIMED)
		return verdict;
	from = bpf_map_lookup_elem(&contacts, &inner.source);
	if (from && !from->gone && equal(&outer->destination, &from->care_of))
		return relay_from_peer(skb, outer, &inner, size, from);
	return to ? drop(DROP_FOREIGN_TUNNEL) : PASS;
}

SEC("tc")
int vanycast_ingress(struct __sk_buff *skb)
{
	struct ipv6 h;
	struct walk w;
	__u32 option = 0;

	if (!load_ipv6(skb, &h))
		return PASS;
	/*
	 * A contact address is reached through the tunnel or by a routing header
	 * only: what comes without may be from anyone on the link.
	 */
	if (bpf_map_lookup_elem(&contacts, &h.destination))
		return drop(DROP_NATIVE);
	walk_start(&w, &h);
	for (int i = 0; i < 2; i++) { /* one header of each kind of options */
		if (w.next == DESTINATION_OPTIONS && !ignore_home_address) {
			option = find_home_address(skb, w.off);
			if (option)
				break;
		}
		if (w.next != HOP_BY_HOP && w.next != DESTINATION_OPTIONS)
			break;
		if (walk_step(skb, &w) < 0)
			return PASS;
	}
	if (option)
		return correspondent_ingress(skb, &h, &w, option);
	if (w.off - IPV6_LENGTH > PREFIX_MAX)
		return PASS;
	if (w.next == IPV6)
		return tunnel_ingress(skb, &h, w.off);
	if (w.next == ROUTING)
		return mobile_routing_header(skb, &h, &w);
	return PASS;
}

/*
 * At the daemon's TUN interface. Only what another program sent there reaches the
 * daemon: nothing that this host sends to it.
 */
SEC("tc")
int vanycast_keep(struct __sk_buff *skb)
{
	return skb->ingress_ifindex || skb->mark == SENT_ON ? PASS : DROP;
}

SEC("tc")
int vanycast_release(struct __sk_buff *skb)
{
	struct ipv6 h;
	struct contact *c;

	if (!load_ipv6(skb, &h))
		return DROP;
	c = bpf_map_lookup_elem(&contacts, &h.destination);
	if (c && !c->gone)
		return mobile_release(skb, &h, c);
	c = bpf_map_lookup_elem(&contacts, &h.source);
	if (c && !c->gone)
		return release_sent(skb, &h, c);
	return drop(DROP_NATIVE);
}

/* The egress of the kernel's tunnel to a home agent. */
SEC("tc")
int vanycast_mouth(struct __sk_buff *skb)
{
	struct ipv6 h;
	struct contact *c;

	if (!load_ipv6(skb, &h))
		return PASS;
	c = bpf_map_lookup_elem(&contacts, &h.source);
	return c ? mobile_mouth(skb, &h, c) : PASS;
}

/* The egress of the interface: what was sent on as it is passes the filters that keep contact addresses in. */
SEC("tc")
int vanycast_leave(struct __sk_buff *skb)
{
	if (skb->mark != SENT_ON)
		return PASS;
	skb->mark = 0;
	return ACCEPT;
}
