/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The replica: RFC 6275's mobile node, section 11.3. */
#pragma once

#include "encapsulation.h"
#include "extension.h"

/* Neighbour and router discovery never leaves a contact address: it lives on no link. */
inline int neighbour_discovery(struct __sk_buff *skb, const struct ipv6 *h)
{
	__u8 type;

	if (h->next_header != ICMPV6)
		return 0;
	if (load(skb, IPV6_LENGTH, &type, 1) < 0)
		return 1;
	return type >= 133 && type <= 137;
}

/*
 * Sends the packet through the tunnel. Where the routing table's next hop for
 * this client is not that of the home agent (own), the neighbour is chosen here.
 */
inline int mobile_tunnel(struct __sk_buff *skb, const struct ipv6 *h, const struct contact *c, int own)
{
	int verdict = encapsulate(skb, h, &c->care_of, &c->home_agent);

	if (verdict != PASS)
		return verdict;
	count(TUNNELLED_OUT);
	if (own) {
		struct bpf_redir_neigh to = {.nh_family = AF_INET6};

		memcpy(to.ipv6_nh, &c->gateway, sizeof(to.ipv6_nh));
		return bpf_redirect_neigh(interface_index, &to, sizeof(to), 0);
	}
	return PASS;
}

/* A packet whose source is a contact address of ours. It leaves rewritten or not at all. */
inline int mobile_egress(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c)
{
	struct flow flow = {.home = h->source, .client = h->destination};
	struct home_address_header ext;
	struct route *r;
	__u32 kind = TUNNELLED;
	int own = 0;

	if (c->gone)
		return drop(DROP_CONTACT_GONE);
	if (!routable(&h->destination) || neighbour_discovery(skb, h))
		return drop(DROP_DESTINATION);
	r = bpf_map_lookup_elem(&routes, &flow);
	if (r) {
		kind = r->kind;
		own = r->own_next_hop;
		touch(&r->last_used);
	}
	/*
	 * Home tests go by the home agent whatever the route (section 11.6.1); and
	 * they must pass while the flow is held, for that is when it is taken over.
	 */
	if (kind != TUNNELLED && upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		kind = TUNNELLED;
	if (kind == HELD)
		return drop(HELD_OUT);
	/* Before these headers the option may not stand (section 6.3): the tunnel is always right. */
	if (kind == TUNNELLED || h->next_header == HOP_BY_HOP || h->next_header == ROUTING)
		return mobile_tunnel(skb, h, c, own);

	ext = (struct home_address_header){
		.next_header = h->next_header,
		.length = 2,
		.pad = {1, 2, 0, 0},
		.option = OPTION_HOME_ADDRESS,
		.option_length = sizeof(struct address),
		.home = h->source,
	};
	h->source = c->care_of;
	if (insert_extension(skb, h, &ext, DESTINATION_OPTIONS, 0) != PASS)
		return DROP;
	count(OPTIMISED_OUT);
	return PASS;
}

/* Held flows are dropped on arrival too; but not the signalling that will free them. */
inline int mobile_held(struct __sk_buff *skb, const struct address *home, const struct address *client, __u32 off,
		       __u8 next)
{
	struct flow flow = {.home = *home, .client = *client};
	struct route *r = bpf_map_lookup_elem(&routes, &flow);

	if (!r)
		return 0;
	touch(&r->last_used);
	return r->kind == HELD && upper_layer(skb, off, next) != MOBILITY;
}

/* A type 2 routing header that names a contact address of ours comes off, section 11.3.3. */
inline int mobile_routing_header(struct __sk_buff *skb, struct ipv6 *h, const struct walk *w)
{
	struct routing_header ext;
	struct contact *c;

	if (load(skb, w->off, &ext, sizeof(ext)) < 0)
		return PASS;
	if (ext.type != 2 || ext.length != 2 || ext.segments_left != 1)
		return PASS;
	c = bpf_map_lookup_elem(&contacts, &ext.home);
	if (!c || c->gone || !equal(&h->destination, &c->care_of))
		return PASS;
	if (mobile_held(skb, &ext.home, &h->source, w->off + EXTENSION_LENGTH, ext.next_header))
		return drop(HELD_IN);
	h->destination = ext.home;
	if (remove_extension(skb, h, w, ext.next_header) != PASS)
		return DROP;
	count(OPTIMISED_IN);
	return PASS;
}

/* A packet that our home agent tunnelled to the contact address comes out. */
inline int mobile_decapsulate(struct __sk_buff *skb, const struct ipv6 *outer, struct ipv6 *inner, __u32 size)
{
	if (mobile_held(skb, &inner->destination, &inner->source, size + IPV6_LENGTH, inner->next_header))
		return drop(HELD_IN);
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	count(TUNNELLED_IN);
	return PASS;
}
