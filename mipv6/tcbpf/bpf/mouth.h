/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Beside the kernel's own Mobile IPv6: what a contact address sends, and no
 * policy of the kernel's optimises, comes to the mouth of the tunnel to its home
 * agent. Here flows that go another way than the home agent's leave it.
 */
#pragma once

#include "encapsulation.h"
#include "flow.h"
#include "relay.h"

inline int mobile_mouth(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c)
{
	struct flow flow = {.home = h->source, .client = h->destination};
	struct route *r = outgoing_route(skb, c, &flow, IPV6_LENGTH, h->next_header);

	/* As in mobile_egress: home tests go by the home agent, also while the flow is held. */
	if (!r || upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		return PASS;
	touch_route(r);
	if (r->kind == HELD)
		return drop(HELD_OUT);
	if (r->kind == RELAY_TO)
		return drop(DROP_NOT_OWNER);
	if (r->keep & KEEP_SENT)
		return keep_own(skb);
	if (r->kind == RELAYED) {
		if (encapsulate(skb, h, &c->care_of, &r->peer) != PASS)
			return DROP;
		count(RELAYED_OUT);
		return send_on(skb);
	}
	if (r->kind == DIRECT) {
		count(DIRECT_OUT);
		skb->mark = SENT_ON;
		return send_by(skb, &r->gateway);
	}
	return PASS;
}
