/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The few parts of the kernel's BPF interface that the programs use: types,
 * numbers and helpers, all of them frozen ABI. They stand here, rather than
 * come from <linux/bpf.h> and libbpf, so that the objects are the same bytes on
 * every machine that has clang.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;

#define SEC(name) __attribute__((section(name), used))
#define inline __attribute__((always_inline)) static inline
#define function __attribute__((noinline)) static /* its own BPF function: keeps the programs small */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

#define htons(x) __builtin_bswap16(x) /* objects are made for little endian only */
#define ntohs(x) __builtin_bswap16(x)
#define htonl(x) __builtin_bswap32(x)

#define memcpy __builtin_memcpy
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The context of a program at tc, as far as it is used. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type; /* PACKET_HOST: by its link-layer address it is for us */
	__u32 mark;
	__u32 unused_a[6];
	__u32 ingress_ifindex; /* where it came in; 0: made on this host */
	__u32 unused_b[34];
	__u32 gso_size; /* of a superpacket: payload of the segments that it stands for; else 0 */
};

enum { PACKET_HOST = 0 };

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_F_RECOMPUTE_CSUM = 1 };

enum {
	BPF_ADJ_ROOM_NET = 0,
	BPF_ADJ_ROOM_MAC = 1,
};

enum {
	BPF_F_ADJ_ROOM_FIXED_GSO = 1 << 0,
	BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 = 1 << 2,
	BPF_F_ADJ_ROOM_NO_CSUM_RESET = 1 << 5,
};

/*
 * Verdicts. PASS is "no opinion": filters of other programs that stand after
 * ours still see the packet, and without any it goes on.
 */
enum {
	PASS = -1,  /* TC_ACT_UNSPEC */
	ACCEPT = 0, /* TC_ACT_OK: filters after ours are not asked */
	DROP = 2,   /* TC_ACT_SHOT */
};

enum { AF_INET6 = 10, EALREADY = 114 };

struct bpf_redir_neigh {
	__u32 nh_family;
	__u32 ipv6_nh[4];
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_skb_store_bytes)(struct __sk_buff *skb, __u32 off, const void *from, __u32 len, __u64 flags) = (void *)9;
static long (*bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*bpf_skb_load_bytes)(const void *skb, __u32 off, void *to, __u32 len) = (void *)26;
static long (*bpf_skb_change_head)(struct __sk_buff *skb, __u32 len, __u64 flags) = (void *)43;
static long (*bpf_skb_adjust_room)(struct __sk_buff *skb, __s32 diff, __u32 mode, __u64 flags) = (void *)50;
static long (*bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;
static void *(*bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static void (*bpf_ringbuf_discard)(void *data, __u64 flags) = (void *)133;
static long (*bpf_redirect_neigh)(__u32 ifindex, struct bpf_redir_neigh *nh, int len, __u64 flags) = (void *)152;
