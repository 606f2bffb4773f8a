/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The replica: RFC 6275's mobile node, section 11.3. */
#pragma once

#include "encapsulation.h"
#include "extension.h"
#include "flow.h"
#include "relay.h"
#include "steer.h"

/*
 * Sends the packet through a tunnel. Where the routing table's next hop for
 * this client is not that of the tunnel's other end, the neighbour is chosen here.
 */
inline int mobile_tunnel(struct __sk_buff *skb, const struct ipv6 *h, const struct contact *c,
			 const struct address *to, const struct address *gateway, __u32 counter)
{
	if (encapsulate(skb, h, &c->care_of, to) != PASS)
		return DROP;
	count(counter);
	return gateway ? send_by(skb, gateway) : PASS;
}

/* A packet whose source is a contact address of ours. It leaves rewritten or not at all. */
inline int mobile_egress(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c)
{
	struct flow flow = {.home = h->source, .client = h->destination};
	struct home_address_header ext;
	struct route *r;
	__u32 kind = TUNNELLED;

	if (c->gone)
		return drop(DROP_CONTACT_GONE);
	if (skb->mark == SENT_ON) { /* by send_on, or below */
		skb->mark = 0;
		return PASS;
	}
	/* The contact address is this host's: nobody else sends by it, where it forwards. */
	if (skb->ingress_ifindex)
		return drop(DROP_FORWARDED);
	if (!routable(&h->destination) || neighbour_discovery(skb, IPV6_LENGTH, h->next_header))
		return drop(DROP_DESTINATION);
	r = outgoing_route(skb, c, &flow, IPV6_LENGTH, h->next_header);
	if (r) {
		kind = r->kind;
		touch_route(r);
	}
	/*
	 * Home tests go by the home agent whatever the route (section 11.6.1); and
	 * they must pass while the flow is held, for that is when it is taken over.
	 */
	if (kind != TUNNELLED && upper_layer(skb, IPV6_LENGTH, h->next_header) == MOBILITY)
		kind = TUNNELLED;
	if (kind == HELD)
		return drop(HELD_OUT);
	if (kind == RELAY_TO)
		return drop(DROP_NOT_OWNER);
	if (r && (r->keep & KEEP_SENT) && kind == r->kind)
		return keep_own(skb);
	/* Before these headers the option may not stand (section 6.3): the tunnel is always right. */
	if (kind == OPTIMISED && (h->next_header == HOP_BY_HOP || h->next_header == ROUTING))
		kind = TUNNELLED;
	if (kind == TUNNELLED || !r)
		return mobile_tunnel(skb, h, c, &c->home_agent, r && r->own_next_hop ? &c->gateway : 0, TUNNELLED_OUT);
	if (kind == RELAYED)
		return mobile_tunnel(skb, h, c, &r->peer, r->redirect ? &r->gateway : 0, RELAYED_OUT);
	if (kind == DIRECT) {
		count(DIRECT_OUT);
		if (!r->redirect)
			return PASS;
		skb->mark = SENT_ON;
		return send_by(skb, &r->gateway);
	}
	ext = home_address_option(h->next_header, &h->source);
	h->source = c->care_of;
	if (insert_extension(skb, h, &ext, DESTINATION_OPTIONS, 0) != PASS)
		return DROP;
	count(OPTIMISED_OUT);
	return r->redirect ? send_by(skb, &r->gateway) : PASS;
}

/* A type 2 routing header that names a contact address of ours comes off, section 11.3.3. */
inline int mobile_routing_header(struct __sk_buff *skb, struct ipv6 *h, const struct walk *w)
{
	__u32 upper = w->off + EXTENSION_LENGTH;
	struct flow flow = {.client = h->source};
	struct routing_header ext;
	struct route *r;
	struct contact *c;
	int kept = 0;

	if (load(skb, w->off, &ext, sizeof(ext)) < 0)
		return PASS;
	if (ext.type != 2 || ext.length != 2 || ext.segments_left != 1)
		return PASS;
	c = bpf_map_lookup_elem(&contacts, &ext.home);
	if (!c || c->gone || !equal(&h->destination, &c->care_of))
		return PASS;
	flow.home = ext.home;
	r = incoming_route(skb, c, &flow, upper, ext.next_header);
	if (r && upper_layer(skb, upper, ext.next_header) == MOBILITY)
		r = 0; /* signalling is ours, also what frees a held flow */
	if (r) {
		touch_route(r);
		kept = r->keep & KEEP_ALL;
		if (r->kind == HELD && !kept)
			return drop(HELD_IN);
		if ((kept || r->kind == RELAY_TO) && skb->pkt_type != PACKET_HOST)
			return PASS; /* another host's on our link: the kernel drops it */
	}
	if (beside_kernel && !kept && (!r || r->kind == OPTIMISED))
		return PASS;
	h->destination = ext.home;
	if (r && r->kind == RELAY_TO && !kept) {
		struct ipv6 plain = *h;

		plain.next_header = ext.next_header;
		if (!fits(skb, &plain, c, upper, EXTENSION_LENGTH) || hop(h) != PASS)
			return DROP;
	}
	if (remove_extension(skb, h, w, ext.next_header) != PASS)
		return DROP;
	if (kept)
		return keep();
	if (r && r->kind == RELAY_TO)
		return relay_plain(skb, h, c, r);
	count(OPTIMISED_IN);
	return PASS;
}

/* Whether a replica may relay this flow to us. */
inline int accepts(const struct route *r, const struct address *relay)
{
	if (equal(&r->from, relay))
		return 1;
	return r->kind != RELAY_TO && equal(&r->peer, relay);
}

/*
 * A packet that came for a contact address in a tunnel to us: from its home
 * agent, or from a replica that relays the flow.
 */
inline int mobile_tunnelled_in(struct __sk_buff *skb, struct ipv6 *outer, struct ipv6 *inner, __u32 size,
			       const struct contact *c)
{
	struct flow flow = {.home = inner->destination, .client = inner->source};
	int agent = equal(&outer->source, &c->home_agent);
	int kept = 0;
	__u32 upper = size + IPV6_LENGTH;
	struct route *r = incoming_route(skb, c, &flow, upper, inner->next_header);

	if (!agent && !(r && accepts(r, &outer->source))) {
		struct pair pair = {.local = inner->destination, .home = outer->source};

		if (!r && keeper_index && inner->next_header == TCP && bpf_map_lookup_elem(&relays, &pair) &&
		    skb->pkt_type == PACKET_HOST && steered(skb, c, upper))
			return steer();
		return UNCLAIMED;
	}
	if ((r || !agent) && upper_layer(skb, upper, inner->next_header) == MOBILITY) {
		if (!agent)
			return drop(DROP_FOREIGN_TUNNEL); /* signalling is not relayed */
		r = 0;
	}
	if (r) {
		touch_route(r);
		kept = (r->keep & KEEP_ALL) || ((r->keep & KEEP_RETURNED) && equal(&outer->source, &r->peer));
		if (r->kind == HELD && !kept)
			return drop(HELD_IN);
		if ((kept || r->kind == RELAY_TO) && skb->pkt_type != PACKET_HOST)
			return PASS;
		if (r->kind == RELAY_TO && !kept)
			return relay_tunnelled(skb, outer, inner, size, c, r);
	} else if (keeper_index && c->steer[0] && inner->next_header == TCP && skb->pkt_type == PACKET_HOST &&
		   steered(skb, c, upper)) {
		return steer();
	}
	if (beside_kernel && agent && !kept)
		return PASS;
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	if (kept)
		return keep();
	count(agent ? TUNNELLED_IN : RELAYED_IN);
	return PASS;
}

/* What came and the daemon kept comes back, to be delivered here or sent on. */
inline int mobile_release(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c)
{
	struct flow flow = {.home = h->destination, .client = h->source};
	struct route *r = incoming_route(skb, c, &flow, IPV6_LENGTH, h->next_header);

	if (!r)
		return PASS;
	if (r->kind == HELD)
		return drop(HELD_IN); /* never again to the keeper: a packet must not go round */
	if (r->kind != RELAY_TO)
		return PASS;
	if (!fits(skb, h, c, IPV6_LENGTH, 0) || hop(h) != PASS)
		return DROP;
	if (store(skb, 0, h, sizeof(*h)) < 0)
		return drop(DROP_ROOM);
	return relay_plain(skb, h, c, r);
}
