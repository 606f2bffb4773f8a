/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The home agent: RFC 6275 section 10.4. */
#pragma once

#include "encapsulation.h"
#include "protection.h"

/* A packet, ours or forwarded, to a home address that is registered, section 10.4.2. */
inline int home_agent_egress(struct __sk_buff *skb, const struct ipv6 *h, struct tunnel *t)
{
	if (!routable(&h->source))
		return drop(DROP_DESTINATION); /* link-local addresses stay on the home link */
	touch(&t->last_used);
	if (t->protect && upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		return take(skb);
	if (encapsulate(skb, h, &t->home_agent, &t->care_of) != PASS)
		return DROP;
	count(HOME_AGENT_OUT);
	return PASS;
}

/*
 * A packet that a mobile node tunnelled back, section 10.4.5: only from the
 * care-of address that is registered for its source. The kernel forwards what
 * comes out.
 */
inline int home_agent_decapsulate(struct __sk_buff *skb, const struct ipv6 *outer, struct ipv6 *inner, __u32 size)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &inner->source);

	if (!t || !equal(&outer->source, &t->care_of) || !equal(&outer->destination, &t->home_agent))
		return UNCLAIMED;
	if (t->protect && upper_layer(skb, size + IPV6_LENGTH, inner->next_header) == MOBILITY)
		return drop(DROP_UNPROTECTED);
	touch(&t->last_used);
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	count(HOME_AGENT_IN);
	return PASS;
}
