/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The correspondent's half, RFC 6275 section 9.3. */
#pragma once

#include "extension.h"

#define OPTIONS_MAX 8 /* options in one header; the kernel's own limit for destination options */

/*
 * The offset of the Home Address option in the destination options header at
 * off, 0 if there is none. A header that is malformed or holds two is
 * reported as having none: the kernel then answers it with a parameter problem.
 */
function __u32 find_home_address(struct __sk_buff *skb, __u32 off)
{
	__u32 at = off + 2, end, found = 0;
	__u8 head[2];

	if (load(skb, off, head, 2) < 0)
		return 0;
	end = off + ((__u32)head[1] + 1) * 8;
	for (int i = 0; i < OPTIONS_MAX; i++) {
		if (at >= end)
			break;
		if (load(skb, at, head, 1) < 0)
			return 0;
		if (head[0] == 0) { /* Pad1 */
			at += 1;
			continue;
		}
		if (at + 2 > end || load(skb, at, head, 2) < 0)
			return 0;
		if (at + 2 + head[1] > end)
			return 0;
		if (head[0] == OPTION_HOME_ADDRESS) {
			if (found || head[1] != sizeof(struct address))
				return 0;
			found = at;
		}
		at += 2 + (__u32)head[1];
	}
	if (at != end)
		return 0;
	return found;
}

inline void report_unknown_home(const struct ipv6 *h, const struct address *home)
{
	struct event e = {
		.source = h->source,
		.destination = h->destination,
		.home = *home,
		.kind = EVENT_UNKNOWN_HOME_ADDRESS,
	};

	if (bpf_ringbuf_output(&events, &e, sizeof(e), 0) < 0)
		count(EVENTS_LOST);
}

/*
 * A packet to us with a Home Address option at option, in the header at w.
 * Section 9.3.1: data needs a binding that says the same; the messages that
 * make bindings do not.
 */
inline int correspondent_ingress(struct __sk_buff *skb, struct ipv6 *h, const struct walk *w, __u32 option)
{
	struct address home, care_of = h->source;
	struct walk after = *w;
	__u8 type = OPTION_CARE_OF;
	__u8 protocol;
	int mobility;

	if (!bpf_map_lookup_elem(&locals, &h->destination))
		return PASS; /* only passing through */
	if (load(skb, option + 2, &home, sizeof(home)) < 0 || walk_step(skb, &after) < 0)
		return PASS;
	if (!routable(&home))
		return drop(DROP_HOME_INVALID);
	protocol = upper_layer(skb, after.off, after.next);
	/* What ESP protects is for its association to judge (RFC 3776 section 3.2): a home registration is in it. */
	mobility = protocol == MOBILITY || protocol == ESP;
	if (!mobility) {
		struct pair pair = {.local = h->destination, .home = home};
		struct binding *b = bpf_map_lookup_elem(&bindings, &pair);

		if (!b || !equal(&b->care_of, &care_of)) {
			report_unknown_home(h, &home);
			return drop(DROP_UNKNOWN_HOME);
		}
		touch(&b->last_used);
	}
	count(mobility ? MOBILITY_IN : CORRESPONDENT_IN);
	h->source = home;
	if (!mobility && after.off - w->off == EXTENSION_LENGTH && w->off - IPV6_LENGTH <= PREFIX_MAX)
		return remove_extension(skb, h, w, after.next);
	/*
	 * Swap the addresses and rename the option, as the kernel's own Mobile IPv6
	 * leaves it: a socket sees the home address as source, and the care-of
	 * address among the destination options.
	 */
	if (store(skb, option, &type, 1) < 0 || store(skb, option + 2, &care_of, sizeof(care_of)) < 0 ||
	    store(skb, 0, h, sizeof(*h)) < 0)
		return drop(DROP_ROOM);
	return PASS;
}

/* A packet of ours to a home address that we have a binding for, section 9.3.2. */
inline int correspondent_egress(struct __sk_buff *skb, struct ipv6 *h, struct binding *b)
{
	struct routing_header ext = {
		.length = 2,
		.type = 2,
		.segments_left = 1,
		.home = h->destination,
	};
	__u32 prefix = 0;

	touch(&b->last_used);
	ext.next_header = h->next_header;
	if (h->next_header == HOP_BY_HOP) { /* stays first */
		__u8 head[2];

		if (load(skb, IPV6_LENGTH, head, 2) < 0)
			return PASS;
		ext.next_header = head[0];
		prefix = ((__u32)head[1] + 1) * 8;
	}
	/* By the home agent it goes just as well. */
	if (ext.next_header == ROUTING || prefix > PREFIX_MAX)
		return PASS;
	h->destination = b->care_of;
	if (insert_extension(skb, h, &ext, ROUTING, prefix) != PASS)
		return DROP;
	count(CORRESPONDENT_OUT);
	return PASS;
}
