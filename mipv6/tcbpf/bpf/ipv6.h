/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * IPv6 headers (RFC 8200), and the walk over extension headers. Offsets are
 * relative to the IPv6 header; load and store add the link header. Everything
 * is copied to the stack by helper, never read in place: the packet may lie in
 * pieces, and a helper checks each length.
 */
#pragma once

#include "maps.h"

enum {
	HOP_BY_HOP = 0,
	TCP = 6,
	UDP = 17,
	IPV6 = 41,
	ROUTING = 43,
	FRAGMENT = 44,
	ESP = 50,
	ICMPV6 = 58,
	DESTINATION_OPTIONS = 60,
	MOBILITY = 135,
};

struct ipv6 {
	__be32 flow; /* version, traffic class, flow label */
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	struct address source;
	struct address destination;
};

#define IPV6_LENGTH ((__u32)sizeof(struct ipv6))
#define PAYLOAD_MAX 65535U

/* Extension headers before the one that is ours may hold this much; more is left to the kernel. */
#define PREFIX_MAX 64U

inline long load(struct __sk_buff *skb, __u32 off, void *to, __u32 len)
{
	return bpf_skb_load_bytes(skb, link_header + off, to, len);
}

inline long store(struct __sk_buff *skb, __u32 off, const void *from, __u32 len)
{
	return bpf_skb_store_bytes(skb, link_header + off, from, len, BPF_F_RECOMPUTE_CSUM);
}

inline int load_ipv6(struct __sk_buff *skb, struct ipv6 *h)
{
	return load(skb, 0, h, sizeof(*h)) == 0 && (h->flow & htonl(0xf0000000)) == htonl(0x60000000);
}

inline int equal(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

/* Unicast and routable, RFC 6275 section 9.3.1: not multicast, link-local, loopback or unspecified. */
inline int routable(const struct address *a)
{
	if ((a->word[0] & htonl(0xff000000)) == htonl(0xff000000))
		return 0;
	if ((a->word[0] & htonl(0xffc00000)) == htonl(0xfe800000))
		return 0;
	if (a->word[0] == 0 && a->word[1] == 0 && a->word[2] == 0 && (a->word[3] == 0 || a->word[3] == htonl(1)))
		return 0;
	return 1;
}

/* Where a walk over extension headers has come to. */
struct walk {
	__u32 off;        /* of the header that next says */
	__u32 previous;   /* of the byte that names this header */
	__u8 next;
};

inline void walk_start(struct walk *w, const struct ipv6 *h)
{
	w->off = IPV6_LENGTH;
	w->previous = 6; /* the base header's Next Header */
	w->next = h->next_header;
}

/*
 * Steps over one hop-by-hop or destination options header; its first two bytes
 * (next header, length in units of 8 beyond the first 8) are all that is read.
 */
inline int walk_step(struct __sk_buff *skb, struct walk *w)
{
	__u8 head[2];

	if (load(skb, w->off, head, 2) < 0)
		return -1;
	w->previous = w->off;
	w->next = head[0];
	w->off += ((__u32)head[1] + 1) * 8;
	return 0;
}

/*
 * The upper-layer protocol behind a header of this kind at off, if a few
 * headers of options or a fragment header at most stand before it; a later
 * fragment says it too. Anything else is returned as it is.
 */
function __u8 upper_layer(struct __sk_buff *skb, __u32 off, __u8 next)
{
	struct walk w = {.off = off, .next = next};

	for (int i = 0; i < 3; i++) {
		if (w.next == FRAGMENT) {
			__u8 inner;

			if (load(skb, w.off, &inner, 1) < 0)
				return w.next;
			return inner;
		}
		if (w.next != HOP_BY_HOP && w.next != DESTINATION_OPTIONS)
			return w.next;
		if (walk_step(skb, &w) < 0)
			return w.next;
	}
	return w.next;
}

/*
 * The two ports of TCP or UDP behind a header of this kind at off. A
 * fragment has none: not all of them say their ports, so none is asked.
 */
function int ports(struct __sk_buff *skb, __u32 off, __u8 next, __be16 *port)
{
	struct walk w = {.off = off, .next = next};

	for (int i = 0; i < 3; i++) {
		if (w.next == TCP || w.next == UDP)
			return load(skb, w.off, port, 4) == 0;
		if (w.next != HOP_BY_HOP && w.next != DESTINATION_OPTIONS)
			return 0;
		if (walk_step(skb, &w) < 0)
			return 0;
	}
	return 0;
}

/* Neighbour and router discovery never leaves a contact address: it lives on no link. */
inline int neighbour_discovery(struct __sk_buff *skb, __u32 off, __u8 next)
{
	__u8 type;

	if (next != ICMPV6)
		return 0;
	if (load(skb, off, &type, 1) < 0)
		return 1;
	return type >= 133 && type <= 137;
}
