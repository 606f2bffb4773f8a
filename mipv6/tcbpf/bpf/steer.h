/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* New connections whose replica is decided at the SYN. */
#pragma once

#include "flow.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

struct tcp {
	__be16 source;
	__be16 destination;
	__u32 sequence[2];
	__u8 offset;
	__u8 flags;
};

/*
 * Whether this is the first segment of a connection to a steered port, and the
 * daemon has room to decide on one more. Without room it is delivered here: a
 * flood of SYNs meets the kernel's own defences, as it would without us.
 */
function int steered(struct __sk_buff *skb, const struct contact *c, __u32 off)
{
	struct steering *s;
	struct tcp tcp;
	__u32 key = 0;
	int ours = 0;

	if (load(skb, off, &tcp, sizeof(tcp.source) * 2 + sizeof(tcp.sequence) + 2) < 0)
		return 0;
	if ((tcp.flags & (FIN | SYN | RST | ACK)) != SYN || tcp.destination == 0)
		return 0;
	for (int i = 0; i < STEERED_PORTS; i++)
		ours |= c->steer[i] == tcp.destination;
	if (!ours)
		return 0;
	s = bpf_map_lookup_elem(&steering, &key);
	if (!s)
		return 0;
	if (s->taken >= s->allowed) {
		count(STEER_OVERFLOW);
		return 0;
	}
	__sync_fetch_and_add(&s->taken, 1);
	return 1;
}

/* The daemon gets such a SYN in its tunnel, so that it knows who sent it here. */
inline int steer(void)
{
	count(STEERED);
	return bpf_redirect(keeper_index, 0);
}
