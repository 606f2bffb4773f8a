/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* IPv6 in IPv6 (RFC 2473), for the replica and for the home agent. */
#pragma once

#include "ipv6.h"

#define TUNNEL_HOP_LIMIT 64

/* No verdict: the tunnel is none of this role's. */
enum { UNCLAIMED = -2 };

/*
 * Puts an outer header before the packet whose header is h. The traffic class,
 * so also the congestion notification (RFC 6040), and the flow label (RFC 6438)
 * are copied.
 */
function int encapsulate(struct __sk_buff *skb, const struct ipv6 *h, const struct address *source,
		       const struct address *destination)
{
	__u32 inner = skb->len - link_header;
	struct ipv6 outer = {
		.flow = h->flow,
		.payload_length = htons(inner),
		.next_header = IPV6,
		.hop_limit = TUNNEL_HOP_LIMIT,
		.source = *source,
		.destination = *destination,
	};
	long failed;

	if (inner > PAYLOAD_MAX)
		return drop(DROP_SIZE);
	failed = bpf_skb_adjust_room(skb, IPV6_LENGTH, BPF_ADJ_ROOM_MAC,
				     BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6);
	/*
	 * What came out of another tunnel on this host (GRO, or a virtual link, gave it
	 * to us as encapsulated) is still marked so, with the inner header where it
	 * still stands: only the outer one is missing.
	 */
	if (failed == -EALREADY)
		failed = bpf_skb_adjust_room(skb, IPV6_LENGTH, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	if (failed < 0)
		return drop(DROP_ROOM);
	if (store(skb, 0, &outer, sizeof(outer)) < 0)
		return drop(DROP_ROOM);
	return PASS;
}

/*
 * Takes the outer header, and the headers of options behind it, off. outer
 * and inner are the two headers, size what stands before the inner one.
 * Congestion that the tunnel met is told to the inner header as RFC 6040
 * section 4.2 says.
 */
function int decapsulate(struct __sk_buff *skb, const struct ipv6 *outer, struct ipv6 *inner, __u32 size)
{
	const __be32 mask = htonl(3 << 20);

	if ((outer->flow & mask) == mask && (inner->flow & mask) != mask) {
		if ((inner->flow & mask) == 0)
			return drop(DROP_CONGESTION);
		inner->flow |= mask;
		if (store(skb, size, &inner->flow, sizeof(inner->flow)) < 0)
			return drop(DROP_ROOM);
	}
	if (bpf_skb_adjust_room(skb, -(__s32)size, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET) < 0)
		return drop(DROP_ROOM);
	return PASS;
}
