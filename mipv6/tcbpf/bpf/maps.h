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
const volatile __u32 interface_index; /* where rewritten packets leave */
const volatile __u32 leaving_header;  /* the link header there */
const volatile __u32 keeper_index;    /* the TUN interface where the daemon keeps packets; 0: none */
const volatile __u32 ignore_home_address; /* 1: leave the Home Address option to the kernel */
/*
 * 1: beside the kernel's own Mobile IPv6, which tunnels to the home agent and
 * makes and takes the headers of optimised flows; all else is ours.
 */
const volatile __u32 beside_kernel;

#define STEERED_PORTS 16

/* A contact address of this replica. */
struct contact {
	struct address care_of;
	struct address home_agent;
	struct address gateway; /* next hop towards the home agent */
	__u32 gone;             /* 1: was removed; nothing may leave with it as source */
	__u32 connections;      /* 1: some of its flows are single connections */
	__u32 room;             /* how long a packet may be that gets an outer header here */
	__be16 steer[STEERED_PORTS];
};

/* All traffic of a client, or one connection. */
struct flow {
	struct address home;
	struct address client;
	__be16 home_port;
	__be16 client_port;
};

enum route_kind { TUNNELLED = 0, OPTIMISED = 1, HELD = 2, RELAYED = 3, RELAY_TO = 4, DIRECT = 5 };

/*
 * What of a route goes to the keeper, whatever kind says of it: all that comes in;
 * what peer gives back, to whom the rest is relayed; what who serves the flow sends,
 * peer or this host.
 */
enum keep { KEEP_ALL = 1, KEEP_RETURNED = 2, KEEP_SENT = 4 };

struct route {
	struct address peer;    /* the replica that relays to us, or that we relay to */
	struct address from;    /* one whose late packets are still accepted; or zero */
	struct address gateway; /* next hop of this route's own packets, where redirect */
	__u32 slot;             /* its stamp's place in stamps */
	__u8 kind;
	__u8 via;          /* RELAY_TO: how the peer's packets go on */
	__u8 keep;         /* of enum keep, or-ed */
	__u8 own_next_hop; /* 1: the routing table sends this client's packets another way than the home agent's */
	__u8 redirect;     /* 1: and another way than this connection's */
	__u8 pad[3];
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
	__u32 flows;   /* how many flow bindings there are */
	__u32 protect; /* 1: Mobility Headers pass by the daemon, which protects them */
};

/* A flow binding at the home agent, RFC 6089. */
struct flow_tunnel {
	struct address care_of;
	struct address gateway; /* next hop, where redirect */
	__u32 redirect;         /* 1: the routing table sends the home address's packets another way */
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

/* What the daemon must tell a packet's sender: the packet as it was, and what fits. */
struct too_big_event {
	__u8 packet[48]; /* its base header, and the first 8 bytes behind it */
	__u32 kind;      /* at the same place as in struct event */
	__u32 mtu;
	struct address care_of;
};

enum { EVENT_UNKNOWN_HOME_ADDRESS = 1, EVENT_TOO_BIG = 0x100 };

/* How many SYNs were kept for a decision, and how many may be: the daemon's to raise. */
struct steering {
	__u64 taken;
	__u64 allowed;
};

enum counter {
	TUNNELLED_OUT,
	TUNNELLED_IN,
	OPTIMISED_OUT,
	OPTIMISED_IN,
	HELD_OUT,
	HELD_IN,
	RELAYED_OUT,
	RELAYED_IN,
	RELAY_TO_PEER,
	RELAY_FROM_PEER,
	DIRECT_OUT,
	KEPT,
	STEERED,
	STEER_OVERFLOW,
	CORRESPONDENT_OUT,
	CORRESPONDENT_IN,
	MOBILITY_IN,
	HOME_AGENT_OUT,
	HOME_AGENT_IN,
	HOME_AGENT_FLOW,
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
	DROP_FOREIGN_TUNNEL,
	DROP_FORWARDED,
	DROP_NOT_OWNER,
	DROP_HOP_LIMIT,
	DROP_RELAY_SIZE,
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
HASH(relays, struct pair, __u32, 1024 * 8); /* local: a contact address; home: who may relay SYNs to it */
HASH(bindings, struct pair, struct binding, 1 << 20);
HASH(tunnels, struct address, struct tunnel, 1 << 16);
HASH(flow_tunnels, struct flow, struct flow_tunnel, 1 << 16);
HASH(care_ofs, struct pair, __u32, 1 << 16); /* local: a home address; home: a further care-of address, RFC 5648 */
HASH(locals, struct address, __u32, 1 << 16); /* every address of this host */

/* Shared with the daemon as memory: it reads and writes without a system call. */
#define SHARED(NAME, VALUE, MAX)                          \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY);         \
		__uint(map_flags, BPF_F_MMAPABLE);        \
		__uint(max_entries, MAX);                 \
		__type(key, __u32);                       \
		__type(value, VALUE);                     \
	} NAME SEC(".maps")

/* Of a route. */
struct stamp {
	__u64 last_used; /* CLOCK_MONOTONIC in ns; 0 for never */
	__u64 heard;     /* RELAY_TO: 1: something that the peer sent went on */
};

SHARED(stamps, struct stamp, 1 << 20);
SHARED(steering, struct steering, 1);

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

inline void touch_route(const struct route *r)
{
	__u32 slot = r->slot;
	struct stamp *s = bpf_map_lookup_elem(&stamps, &slot);

	if (s)
		touch(&s->last_used);
}

/* Before it goes on: who asks must not be told too little. */
inline void hear_route(const struct route *r)
{
	__u32 slot = r->slot;
	struct stamp *s = bpf_map_lookup_elem(&stamps, &slot);

	if (s) {
		touch(&s->last_used);
		s->heard = 1;
	}
}
