/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Which route a packet of a contact address follows, and the two ways out of a program. */
#pragma once

#include "ipv6.h"

/*
 * The route of the packet whose upper layer (or what stands before it) is of
 * kind next at off: that of its connection, else that of its client. f holds
 * the addresses.
 */
inline struct route *find_route(struct __sk_buff *skb, const struct contact *c, struct flow *f, __u32 off, __u8 next,
				int incoming)
{
	__be16 port[2];
	struct route *r;

	if (c->connections && ports(skb, off, next, port)) {
		f->home_port = port[incoming ? 1 : 0];
		f->client_port = port[incoming ? 0 : 1];
		r = bpf_map_lookup_elem(&routes, f);
		if (r)
			return r;
		f->home_port = 0;
		f->client_port = 0;
	}
	return bpf_map_lookup_elem(&routes, f);
}

function struct route *outgoing_route(struct __sk_buff *skb, const struct contact *c, struct flow *f, __u32 off, __u8 next)
{
	return find_route(skb, c, f, off, next, 0);
}

/*
 * The same of a packet that came. An ICMPv6 error is from a router that is no
 * one's client: it belongs to the flow of the packet that it quotes.
 */
function struct route *incoming_route(struct __sk_buff *skb, const struct contact *c, struct flow *f, __u32 off, __u8 next)
{
	struct ipv6 quoted;
	__u8 type;

	if (next == ICMPV6 && load(skb, off, &type, 1) == 0 && type < 128 &&
	    load(skb, off + 8, &quoted, sizeof(quoted)) == 0 && equal(&quoted.source, &f->home)) {
		f->client = quoted.destination;
		return find_route(skb, c, f, off + 8 + IPV6_LENGTH, quoted.next_header, 0);
	}
	return find_route(skb, c, f, off, next, 1);
}

#define ETHERTYPE_IPV6 htons(0x86dd)

/* What leaves by a link with a header must have one, also if it came where there is none. */
inline int put_link_header(struct __sk_buff *skb)
{
	const __be16 type = ETHERTYPE_IPV6;

	if (link_header == 0 && leaving_header != 0 &&
	    (bpf_skb_change_head(skb, leaving_header, 0) < 0 ||
	     bpf_skb_store_bytes(skb, leaving_header - sizeof(type), &type, sizeof(type), 0) < 0))
		return drop(DROP_ROOM);
	return PASS;
}

/*
 * Sends a packet that came in out again, to the next hop that the host's
 * routing table has for its addresses as they are now.
 */
inline int send_on(struct __sk_buff *skb)
{
	if (leaving_header == 0)
		return bpf_redirect(interface_index, 0);
	if (put_link_header(skb) != PASS)
		return DROP;
	return bpf_redirect_neigh(interface_index, 0, 0, 0);
}

/* Sends a packet to a neighbour that the host's routing table did not choose. */
inline int send_by(struct __sk_buff *skb, const struct address *gateway)
{
	struct bpf_redir_neigh to = {.nh_family = AF_INET6};

	memcpy(to.ipv6_nh, gateway, sizeof(to.ipv6_nh));
	if (leaving_header == 0)
		return bpf_redirect(interface_index, 0);
	if (put_link_header(skb) != PASS)
		return DROP;
	return bpf_redirect_neigh(interface_index, &to, sizeof(to), 0);
}

/* Gives a packet to the daemon, which keeps it until its flow's route lets it go. */
inline int keep(void)
{
	if (!keeper_index)
		return drop(HELD_IN);
	count(KEPT);
	return bpf_redirect(keeper_index, 0);
}
