/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A flow that another replica serves: what comes for it goes there, and what it
 * sends goes on as our own. Hosts do not forward, so this is done here, on arrival,
 * for declared flows and peers only.
 */
#pragma once

#include "encapsulation.h"
#include "extension.h"
#include "flow.h"

#define PLACE_OF_HOP_LIMIT 7

/* Marks what a program sent on with a contact address as source, for the program at the egress. */
#define SENT_ON 0x56414e59

/* One hop less; a packet that has none left is dropped, so no loop of relays lives. */
inline int hop(struct ipv6 *h)
{
	if (h->hop_limit <= 1)
		return drop(DROP_HOP_LIMIT);
	h->hop_limit -= 1;
	return PASS;
}

/* The ends of a tunnel. */
struct ends {
	struct address source;
	struct address destination;
};

/*
 * Sends what came in one tunnel on in another. Where only the outer header
 * stands before the inner one it is written over: superpackets stay whole.
 */
function int change_tunnel(struct __sk_buff *skb, struct ipv6 *outer, struct ipv6 *inner, __u32 size, const struct ends *to)
{
	if (hop(inner) != PASS)
		return DROP;
	if (store(skb, size + PLACE_OF_HOP_LIMIT, &inner->hop_limit, 1) < 0)
		return drop(DROP_ROOM);
	if (size == IPV6_LENGTH) {
		outer->source = to->source;
		outer->destination = to->destination;
		outer->hop_limit = TUNNEL_HOP_LIMIT;
		return store(skb, 0, outer, sizeof(*outer)) < 0 ? drop(DROP_ROOM) : PASS;
	}
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	return encapsulate(skb, inner, &to->source, &to->destination);
}

/*
 * Whether a packet fits our link with an outer header; extra is what of it
 * comes off first, off where its upper layer starts. What came with a routing
 * header need not: that is 16 bytes less. Its sender is told by the daemon.
 */
function int fits(struct __sk_buff *skb, const struct ipv6 *h, const struct contact *c, __u32 off, __u32 extra)
{
	struct too_big_event e = {.kind = EVENT_TOO_BIG, .mtu = c->room};
	struct ipv6 quoted = *h;
	__u32 length = skb->len - link_header - extra;
	__u8 head = 0;

	if (skb->gso_size) {
		if (load(skb, off + 12, &head, 1) < 0)
			return 0;
		length = off - extra + (h->next_header == TCP ? (head >> 4) * 4 : 8) + skb->gso_size;
	}
	if (length <= c->room)
		return 1;
	count(DROP_RELAY_SIZE);
	quoted.payload_length = htons(length - IPV6_LENGTH);
	memcpy(e.packet, &quoted, sizeof(quoted));
	e.care_of = c->care_of;
	if (load(skb, off, e.packet + sizeof(quoted), 8) == 0 && bpf_ringbuf_output(&events, &e, sizeof(e), 0) < 0)
		count(EVENTS_LOST);
	return 0;
}

/* Sends a packet in its own form to the peer. */
inline int relay_plain(struct __sk_buff *skb, const struct ipv6 *h, const struct contact *c, const struct route *r)
{
	if (encapsulate(skb, h, &c->care_of, &r->peer) != PASS)
		return DROP;
	count(RELAY_TO_PEER);
	return send_on(skb);
}

/* Sends what came in a tunnel to the peer. */
inline int relay_tunnelled(struct __sk_buff *skb, struct ipv6 *outer, struct ipv6 *inner, __u32 size, const struct contact *c,
			   const struct route *r)
{
	struct ends to = {.source = c->care_of, .destination = r->peer};

	if (change_tunnel(skb, outer, inner, size, &to) != PASS)
		return DROP;
	count(RELAY_TO_PEER);
	return send_on(skb);
}

/* Whether a replica may send in this flow through us: the one that serves it, or served it until now. */
inline int speaks(const struct route *r, const struct address *replica)
{
	return equal(&r->peer, replica) || (r->via != RELAYED && equal(&r->from, replica));
}

/* Whether what goes on in this way (enum route_kind) goes in a tunnel, and in which: relay is the other end of RELAYED. */
inline int goes_tunnelled(const struct ipv6 *h, const struct contact *c, __u32 way, const struct address *relay, struct ends *tunnel)
{
	tunnel->source = c->care_of;
	tunnel->destination = way == RELAYED ? *relay : c->home_agent;
	/* As in mobile_egress: before these headers the option may not stand. */
	return way == TUNNELLED || way == RELAYED ||
	       (way == OPTIMISED && (h->next_header == HOP_BY_HOP || h->next_header == ROUTING));
}

/* Sends on without a tunnel what goes OPTIMISED or DIRECT. */
function int speak(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c, const struct route *r, __u32 way)
{
	struct home_address_header ext;

	if (way == OPTIMISED) {
		ext = home_address_option(h->next_header, &h->source);
		h->source = c->care_of;
		if (insert_extension(skb, h, &ext, DESTINATION_OPTIONS, 0) != PASS)
			return DROP;
	} else {
		skb->mark = SENT_ON;
	}
	if (beside_kernel && way == DIRECT) /* the contact address's own routes lead into the tunnel */
		return send_by(skb, &r->gateway);
	return send_on(skb);
}

/*
 * A packet in a tunnel to us whose source is a contact address of ours: the
 * replica that serves the flow sent it. A stranger's, or one of a flow that is not
 * relayed to that replica, is nobody's.
 */
inline int relay_from_peer(struct __sk_buff *skb, struct ipv6 *outer, struct ipv6 *inner, __u32 size, const struct contact *c)
{
	struct flow flow = {.home = inner->source, .client = inner->destination};
	struct route *r = outgoing_route(skb, c, &flow, size + IPV6_LENGTH, inner->next_header);
	struct ends to;
	int kept;

	if (!r || r->kind != RELAY_TO || !speaks(r, &outer->source) || skb->pkt_type != PACKET_HOST ||
	    upper_layer(skb, size + IPV6_LENGTH, inner->next_header) == MOBILITY ||
	    neighbour_discovery(skb, size + IPV6_LENGTH, inner->next_header))
		return drop(DROP_FOREIGN_TUNNEL);
	hear_route(r);
	kept = r->keep & KEEP_SENT;
	if (!kept && goes_tunnelled(inner, c, r->via, &r->from, &to)) {
		if (change_tunnel(skb, outer, inner, size, &to) != PASS)
			return DROP;
		count(RELAY_FROM_PEER);
		return send_on(skb);
	}
	if (hop(inner) != PASS)
		return DROP;
	if (store(skb, size + PLACE_OF_HOP_LIMIT, &inner->hop_limit, 1) < 0)
		return drop(DROP_ROOM);
	if (decapsulate(skb, outer, inner, size) != PASS)
		return DROP;
	if (kept)
		return keep();
	count(RELAY_FROM_PEER);
	return speak(skb, inner, c, r, r->via);
}

/* Keeps what this host sends. The mark is for the program at the keeper's interface. */
inline int keep_own(struct __sk_buff *skb)
{
	skb->mark = SENT_ON;
	return keep();
}

/* What was sent to a client and the daemon kept comes back, to be sent on. A peer's hop was counted when it came. */
inline int release_sent(struct __sk_buff *skb, struct ipv6 *h, const struct contact *c)
{
	struct flow flow = {.home = h->source, .client = h->destination};
	struct route *r = outgoing_route(skb, c, &flow, IPV6_LENGTH, h->next_header);
	struct ends to;
	__u32 way;

	if (!r || r->kind == HELD)
		return drop(HELD_OUT);
	way = r->kind == RELAY_TO ? r->via : r->kind;
	if (r->kind == RELAY_TO)
		count(RELAY_FROM_PEER);
	else
		count(way == OPTIMISED ? OPTIMISED_OUT : way == RELAYED ? RELAYED_OUT : way == DIRECT ? DIRECT_OUT : TUNNELLED_OUT);
	if (!goes_tunnelled(h, c, way, r->kind == RELAY_TO ? &r->from : &r->peer, &to))
		return speak(skb, h, c, r, way);
	if (encapsulate(skb, h, &to.source, &to.destination) != PASS)
		return DROP;
	return send_on(skb);
}
