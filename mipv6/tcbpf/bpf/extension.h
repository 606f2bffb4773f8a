/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Putting a 24-byte extension header into a packet and taking one out: both
 * the Home Address option's header and the type 2 routing header have that size.
 * The transport checksum is never touched: its sender made it over the home address.
 */
#pragma once

#include "ipv6.h"

#define EXTENSION_LENGTH 24

#define OPTION_HOME_ADDRESS 0xC9 /* unknown: discard, and send a parameter problem */
#define OPTION_CARE_OF 0x1E      /* RFC 4727 experiment; unknown: skip. What 0xC9 becomes for the kernel */

/* Section 6.3: a destination options header that holds PadN and the Home Address option. */
struct home_address_header {
	__u8 next_header;
	__u8 length; /* 2: 24 bytes */
	__u8 pad[4]; /* PadN, so that the address stands at 8n+6 of the option's start */
	__u8 option; /* 0xC9 */
	__u8 option_length;
	struct address home;
};

inline struct home_address_header home_address_option(__u8 next_header, const struct address *home)
{
	return (struct home_address_header){
		.next_header = next_header,
		.length = 2,
		.pad = {1, 2, 0, 0},
		.option = OPTION_HOME_ADDRESS,
		.option_length = sizeof(struct address),
		.home = *home,
	};
}

/* Section 6.4: the type 2 routing header. */
struct routing_header {
	__u8 next_header;
	__u8 length; /* 2 */
	__u8 type;   /* 2 */
	__u8 segments_left; /* 1 */
	__u32 reserved;
	struct address home;
};

/*
 * Inserts ext after the base header, and after a hop-by-hop header of
 * prefix bytes (a multiple of 8, at most PREFIX_MAX), which must stay first. h
 * is the wanted base header; its payload length is corrected here.
 */
function int insert_extension(struct __sk_buff *skb, struct ipv6 *h, void *ext, __u8 type, __u32 prefix)
{
	__u64 piece;

	if (skb->len + EXTENSION_LENGTH - link_header - IPV6_LENGTH > PAYLOAD_MAX)
		return drop(DROP_SIZE);
	if (bpf_skb_adjust_room(skb, EXTENSION_LENGTH, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO) < 0)
		return drop(DROP_ROOM);
	h->payload_length = htons(ntohs(h->payload_length) + EXTENSION_LENGTH);
	if (prefix == 0) {
		h->next_header = type;
	} else {
		for (__u32 i = 0; i < PREFIX_MAX; i += 8) {
			if (i >= prefix)
				break;
			if (load(skb, IPV6_LENGTH + EXTENSION_LENGTH + i, &piece, 8) < 0 ||
			    store(skb, IPV6_LENGTH + i, &piece, 8) < 0)
				return drop(DROP_ROOM);
		}
		if (store(skb, IPV6_LENGTH, &type, 1) < 0)
			return drop(DROP_ROOM);
	}
	if (store(skb, IPV6_LENGTH + (prefix & 0xff), ext, EXTENSION_LENGTH) < 0 || store(skb, 0, h, sizeof(*h)) < 0)
		return drop(DROP_ROOM);
	return PASS;
}

/*
 * Takes out the 24 bytes at w->off, whose Next Header is next. What
 * stands between them and the base header moves along. h is the wanted base
 * header; its payload length and, where due, its next header are corrected here.
 * The base header is stored before the room shrinks, so that a checksum that the
 * device computed over the whole packet stays true.
 */
function int remove_extension(struct __sk_buff *skb, struct ipv6 *h, const struct walk *w, __u8 next)
{
	__u32 prefix = w->off - IPV6_LENGTH;
	__u64 piece;

	if (prefix > PREFIX_MAX)
		return drop(DROP_ROOM);
	h->payload_length = htons(ntohs(h->payload_length) - EXTENSION_LENGTH);
	if (prefix == 0) {
		h->next_header = next;
	} else {
		if (store(skb, w->previous, &next, 1) < 0)
			return drop(DROP_ROOM);
		for (__u32 i = PREFIX_MAX; i > 0; i -= 8) { /* backwards: the two places overlap */
			__u32 at = IPV6_LENGTH + i - 8;

			if (i > prefix)
				continue;
			if (load(skb, at, &piece, 8) < 0 || store(skb, at + EXTENSION_LENGTH, &piece, 8) < 0)
				return drop(DROP_ROOM);
		}
	}
	if (store(skb, 0, h, sizeof(*h)) < 0)
		return drop(DROP_ROOM);
	if (bpf_skb_adjust_room(skb, -EXTENSION_LENGTH, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO) < 0)
		return drop(DROP_ROOM);
	return PASS;
}
