/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Mobility Headers between home agent and mobile node in ESP, RFC 3776: the daemon's to make. */
#pragma once

#include "ipv6.h"

/*
 * Gives the packet to the daemon in the network's stead. It waits nowhere: what
 * finds no room is lost, and its sender sends it again.
 */
function int take(struct __sk_buff *skb)
{
	__u64 length = (__u64)skb->len - link_header;
	struct taken *t;

	asm volatile("" : "+r"(length)); /* the verifier must see one value, compared and used */
	if (length < IPV6_LENGTH || length > TAKEN_MAX)
		return drop(DROP_SIZE);
	t = bpf_ringbuf_reserve(&taken, sizeof(*t), 0);
	if (!t)
		return drop(EVENTS_LOST);
	t->length = length;
	if (load(skb, 0, t->packet, length) < 0) {
		bpf_ringbuf_discard(t, 0);
		return drop(DROP_ROOM);
	}
	bpf_ringbuf_submit(t, 0);
	count(MOBILITY_TAKEN);
	return DROP;
}
