/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The home agent: RFC 6275 section 10.4, with the flow bindings of RFC 6089. */
#pragma once

#include "encapsulation.h"
#include "flow.h"
#include "protection.h"

/*
 * The flow binding of a packet to a home address: of its connection, else of its
 * client. quoted: the packet is the one that an ICMPv6 error quotes, so it went the
 * other way.
 */
inline struct flow_tunnel *find_flow_tunnel(struct __sk_buff *skb, struct flow *f, __u32 off, __u8 next, int quoted)
{
	__be16 port[2];
	struct flow_tunnel *to;

	if (ports(skb, off, next, port)) {
		f->home_port = port[quoted ? 0 : 1];
		f->client_port = port[quoted ? 1 : 0];
		to = bpf_map_lookup_elem(&flow_tunnels, f);
		if (to)
			return to;
		f->home_port = 0;
		f->client_port = 0;
	}
	return bpf_map_lookup_elem(&flow_tunnels, f);
}

/* Signalling belongs to no flow; an error belongs to that of the packet it quotes. */
function struct flow_tunnel *flow_binding(struct __sk_buff *skb, const struct ipv6 *h)
{
	struct flow f = {.home = h->destination, .client = h->source};
	struct ipv6 quoted;
	__u8 type;

	if (upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		return 0;
	if (h->next_header == ICMPV6 && load(skb, IPV6_LENGTH, &type, 1) == 0 && type < 128 &&
	    load(skb, IPV6_LENGTH + 8, &quoted, sizeof(quoted)) == 0 && equal(&quoted.source, &f.home)) {
		f.client = quoted.destination;
		return find_flow_tunnel(skb, &f, IPV6_LENGTH + 8 + IPV6_LENGTH, quoted.next_header, 1);
	}
	return find_flow_tunnel(skb, &f, IPV6_LENGTH, h->next_header, 0);
}

/* A packet, ours or forwarded, to a home address that is registered, section 10.4.2. */
inline int home_agent_egress(struct __sk_buff *skb, const struct ipv6 *h, struct tunnel *t)
{
	struct flow_tunnel *to = 0;

	if (!routable(&h->source))
		return drop(DROP_DESTINATION); /* link-local addresses stay on the home link */
	touch(&t->last_used);
	if (t->protect && upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		return take(skb);
	if (t->flows)
		to = flow_binding(skb, h);
	if (encapsulate(skb, h, &t->home_agent, to ? &to->care_of : &t->care_of) != PASS)
		return DROP;
	count(HOME_AGENT_OUT);
	if (!to)
		return PASS;
	count(HOME_AGENT_FLOW);
	return to->redirect ? send_by(skb, &to->gateway) : PASS;
}

/* Whether a care-of address is registered for the home address, as the first or as a further one. */
inline int registered(const struct tunnel *t, const struct address *home, const struct address *care_of)
{
	struct pair further = {.local = *home, .home = *care_of};

	return equal(care_of, &t->care_of) || bpf_map_lookup_elem(&care_ofs, &further);
}

/*
 * A packet that a mobile node tunnelled back, section 10.4.5: only from a
 * care-of address that is registered for its source. The kernel forwards what
 * comes out.
 */
inline int home_agent_decapsulate(struct __sk_buff *skb, const struct ipv6 *outer, struct ipv6 *inner, __u32 size)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &inner->source);

	if (!t || !equal(&outer->destination, &t->home_agent) || !registered(t, &inner->source, &outer->source))
		return UNCLAIMED;
	if (t->protect && upper_layer(skb, size + IPV6_LENGTH, inner->next_header) == MOBILITY)
		return drop(DROP_UNPROTECTED);
	touch(&t->last_used);
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	count(HOME_AGENT_IN);
	return PASS;
}
