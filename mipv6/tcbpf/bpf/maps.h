/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The declared state as the programs see it, and what they report back. The
 * user-space half of each of these is maps.go and names.go; sizes that the
 * configuration chooses are set there.
 */
#pragma once

#include "abi.h"

struct address {
	__u32 word[4];
};

/* Set once, when the programs are loaded. */
const volatile __u32 link_header;     /* bytes before the IPv6 header: 14 on Ethernet, 0 on TUN, PPP */
const volatile __u32 interface_index; /* where the programs stand */
const volatile __u32 ignore_home_address; /* 1: leave the Home Address option to the kernel */

/* A contact address of this replica. */
struct contact {
	struct address care_of;
	struct address home_agent;
	struct address gateway; /* next hop towards the home agent */
	__u32 gone;             /* 1: was removed; nothing may leave with it as source */
	__u32 pad;
};

struct flow {
	struct address home;
	struct address client;
};

enum route_kind { TUNNELLED = 0, OPTIMISED = 1, HELD = 2 };

struct route {
	__u64 last_used; /* CLOCK_MONOTONIC, ns; 0 for never */
	__u32 kind;
	__u32 own_next_hop; /* 1: the routing table sends this client's packets another way than the home agent's */
};

/* A binding cache entry at a correspondent, RFC 6275 section 9.1. */
struct pair {
	struct address local;
	struct address home;
};

struct binding {
	__u64 last_used;
	struct address care_of;
};

/* A binding at the home agent, RFC 6275 section 10.1. */
struct tunnel {
	__u64 last_used;
	struct address care_of;
	struct address home_agent;
	__u32 protect; /* 1: Mobility Headers pass by the daemon, which protects them */
	__u32 pad;
};

/* A whole IPv6 packet that the daemon sends on; a Mobility Header that is longer is none. */
#define TAKEN_MAX 1280U

struct taken {
	__u32 length;
	__u8 packet[TAKEN_MAX];
};

/* What the signalling must answer: a Binding Error is due. */
struct event {
	struct address source;
	struct address destination;
	struct address home;
	__u32 kind;
};

enum { EVENT_UNKNOWN_HOME_ADDRESS = 1 };

enum counter {
	TUNNELLED_OUT,
	TUNNELLED_IN,
	OPTIMISED_OUT,
	OPTIMISED_IN,
	HELD_OUT,
	HELD_IN,
	CORRESPONDENT_OUT,
	CORRESPONDENT_IN,
	MOBILITY_IN,
	HOME_AGENT_OUT,
	HOME_AGENT_IN,
	MOBILITY_TAKEN,
	DROP_CONTACT_GONE,
	DROP_DESTINATION,
	DROP_NATIVE,
	DROP_UNKNOWN_HOME,
	DROP_HOME_INVALID,
	DROP_ROOM,
	DROP_SIZE,
	DROP_CONGESTION,
	DROP_UNPROTECTED,
	EVENTS_LOST,
	COUNTERS,
};

#define HASH(NAME, KEY, VALUE, MAX)                       \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_HASH);          \
		__uint(map_flags, BPF_F_NO_PREALLOC);     \
		__uint(max_entries, MAX);                 \
		__type(key, KEY);                         \
		__type(value, VALUE);                     \
	} NAME SEC(".maps")

HASH(contacts, struct address, struct contact, 1024);
HASH(routes, struct flow, struct route, 1 << 20);
HASH(bindings, struct pair, struct binding, 1 << 20);
HASH(tunnels, struct address, struct tunnel, 1 << 16);
HASH(locals, struct address, __u32, 1 << 16); /* every address of this host */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} taken SEC(".maps");

function void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		*n += 1;
}

function int drop(__u32 why)
{
	count(why);
	return DROP;
}

/* Stamps at most once a second, so that busy flows do not fight for the line. */
inline void touch(__u64 *last_used)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - *last_used >= 1000000000ULL)
		*last_used = now;
}
