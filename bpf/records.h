/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that kernel and user space share. The TypeScript offsets are generated from it
 * (daemon/capture/records/layout.gen.ts, from the object's BTF).
 *
 * Integers are in host order, times are CLOCK_MONOTONIC nanoseconds, and byte counts are payload. A
 * change of any layout increments TOASCOPE_LAYOUT: pinned maps of another layout are not adopted,
 * but the counts of clients and listeners are migrated, field by field, by name. So a field that
 * changes its meaning must change its name, and enums that index pinned data grow only at their
 * end.
 */
#ifndef TOASCOPE_RECORDS_H
#define TOASCOPE_RECORDS_H

#include <linux/types.h>
#include "../kernel/toa_option.h"

#include "enums.h"
#include "connection.h"
#include "settings.h"

/* Programs call these under a lock, where the kernel allows no calls. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * Family FAMILY_NONE is the listener "other", for connections that found the table full. Its slot
 * is OTHER_LISTENER.
 */
struct listener_key {
	struct endpoint local;
};

/*
 * A slot of the listener table. `service` is even while new connections can count there, and odd
 * while the slot is being freed. It grows with each use, so a program that comes late can tell that
 * another listener has the slot.
 */
struct listener_slot {
	struct listener_key key;
	__u32 service;
	__u64 active_ns; /* when a connection last opened or closed, to about a second */
};

/* Argument of the program that frees a listener's slot. */
struct listener_request {
	__u32 slot;
	__u32 reserved[2];
	__u32 protocol; /* as in struct sweep_request */
	struct listener_key key;
	__u32 padding;
};

struct client_key {
	__u8 address[16]; /* masked to prefix_length */
	__u8 family;
	__u8 prefix_length;
	__u16 reserved;
	struct endpoint listener;
};

/* Each field only grows. RTT samples are the kernel's smoothed RTT. */
struct traffic {
	__u64 opened;
	__u64 closed;
	__u64 received_bytes;
	__u64 sent_bytes;
	__u64 retransmitted_segments;
	__u64 rtt_sum_ns;
	__u64 rtt_count;
	__u64 duration_sum_ns; /* of closed connections */
};

struct client {
	struct traffic traffic;
	__u64 created_ns;
	__u64 active_ns; /* when something was last counted */
	/* client_generation() of its key; 0: it is being folded, and programs count elsewhere. */
	__u64 generation;
	__u32 prefix_slot[2]; /* where it counts in `prefix_clients`, plus one; 0: nowhere */
};

static inline __u64 mix_key(const struct client_key *key, __u64 seed)
{
	__u64 words[sizeof(*key) / 8], mixed = seed;
	unsigned int i;

	__builtin_memcpy(words, key, sizeof(*key));
	for (i = 0; i < sizeof(*key) / 8; i++) {
		mixed = (mixed ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		mixed ^= mixed >> 32;
	}
	return mixed;
}

/*
 * Identifies the client of an entry, because the kernel reuses the memory of a deleted entry at
 * once. Never 0.
 */
static inline __u64 client_generation(const struct client_key *key)
{
	return mix_key(key, 0) | 1;
}

/*
 * Finds the counters of a prefix in `prefix_clients`, plus one: one in each of two rows of `slots`,
 * a power of two. The secret (META_PEER_HASH_KEY) comes first in the mix, so a host that controls a
 * network cannot pick addresses whose counters collide with another network's.
 */
static inline void prefix_slots_of(const struct client_key *prefix, __u64 secret, __u32 slots, __u32 at[2])
{
	__u64 mixed = mix_key(prefix, secret) * (secret | 1);

	at[0] = 1 + ((__u32)(mixed >> 32) & (slots - 1));
	at[1] = 1 + slots + ((__u32)mixed & (slots - 1));
}

struct histogram {
	__u64 sum_ns;
	__u64 buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
};

/*
 * A listener's counters, in several rows so that CPUs seldom contend for a lock: the value is the
 * sum over the rows. A lock and plain sums cost as much as atomic additions, and memory grows with
 * the rows instead of with the possible CPUs.
 */
struct listener {
	RECORD_LOCK lock;
	__u32 reserved;
	struct traffic total;
	struct traffic direct;     /* connections without a valid TOA option of a trusted peer */
	struct traffic overflow;   /* of clients that found the client table full */
	struct traffic folded;     /* counts of series that have ended */
	struct traffic unexported; /* of folded clients: what no series of their own had shown */
	__u64 handshakes[TOA_VERDICTS];
	__u64 options[TOA_PROFILE_SLOTS][SEGMENTS]; /* by profile id, and enum toa_segment - 1 */
	__u64 accepts[ACCEPT_KINDS];
	__u64 without_option[WITHOUT_KINDS];
	/* Transparent, but the client is IPv6 and the socket AF_INET: applications see the peer. */
	__u64 hidden_by_family;
	struct histogram rtt;      /* without health checks */
	struct histogram duration; /* without health checks */
	struct histogram accept_wait;
};

/*
 * The hashes of a slot's connection, by which lookups find it. 0: the slot was never used, or its
 * connection has no client.
 */
struct slot_hashes {
	__u32 peer;
	__u32 client;
};

/* A cache line, with the hashes of neighbouring slots. */
struct hash_line {
	struct slot_hashes slots[HASHES_PER_LINE];
};

/*
 * Mixes an address. The multipliers are secret (META_PEER_HASH_KEY), so a host that controls a
 * network cannot pick addresses whose hashes collide, which would make lookups read all of them.
 */
ALWAYS_INLINE __u64 mix_address(const __u8 address[16], __u64 with, __u64 key)
{
	__u64 words[2], mixed;

	__builtin_memcpy(words, address, sizeof(words));
	mixed = (words[0] ^ with) * (key | 1);
	return (mixed ^ mixed >> 32 ^ words[1]) * ((key >> 32 | key << 32) | 1);
}

/* Returns a hash of a peer's address and port; never 0. */
static inline __u32 peer_hash(const struct endpoint *peer, __u64 key)
{
	return mix_address(peer->address, (__u64)peer->port << 32 ^ peer->family, key) >> 32 | 1;
}

/*
 * Returns a hash of a client; never 0. Its lower CLIENT_PORT_BITS depend on the port alone, the
 * others on the address: a lookup without a port compares only these. If the option has no port,
 * the peer's counts, which is the one that accept() returns.
 */
ALWAYS_INLINE __u32 client_hash(const struct toa_client *client, __u16 peer_port, __u64 key)
{
	__u32 of_address = mix_address(client->address, client->family, key) >> (32 + CLIENT_PORT_BITS);
	__u32 of_port = (__u32)((client->port ?: peer_port) * ((key >> 17) | 1)) >> (32 - CLIENT_PORT_BITS);

	return (of_address ?: 1) << CLIENT_PORT_BITS | of_port;
}

/*
 * What a change mark is set to when the hashes of a slot in its block have changed: a value that it
 * has never had. `what`: 0 when the connection opened, 1 when its client became known.
 */
ALWAYS_INLINE __u64 change_mark(__u32 slot, __u64 opened_ns, __u32 what)
{
	return opened_ns << 11 | (slot % SLOTS_PER_BLOCK) << 1 | what;
}

/*
 * The randomness of a connection's trace id, its last 56 bits: a good mix of what identifies the
 * connection. So the kernel knows it without the rest of the id, which is a hash with a key.
 */
static inline __u64 trace_randomness(__u64 cookie, __u64 opened_ns)
{
	__u64 mixed = cookie * 0x9e3779b97f4a7c15ULL ^ opened_ns;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
	return (mixed ^ mixed >> 31) >> 8;
}

struct event {
	__u16 type;
	__u16 sampled_by; /* enum sampled_by */
	struct endpoint local;
	__u64 sample_threshold;       /* the one in force */
	struct connection connection; /* without its lock */
	struct toa_virtual virtual_server;
};

/*
 * An option that no active profile defines, on a trusted peer's connection without TOA: it hints at
 * a wrong profile.
 */
struct unknown_option {
	__u8 kind;
	__u8 length;
};

/* Argument of the programs that retire and fold a client. */
struct fold_request {
	struct client_key key;
	__u32 shown;         /* it had a series, and `base` is valid */
	struct traffic base; /* what of its counts "other" had shown before its series began */
};

/* Argument of the program that recounts a client for its prefix. */
struct recount_request {
	__u32 reserved[3];
	__u32 protocol; /* as in struct sweep_request */
	struct client_key key;
};

/* Argument of the sweep. Each run continues SLOTS_PER_RUN slots after the one before. */
struct sweep_request {
	__u32 first; /* slot of the first run */
	__u32 open;  /* 1: reads open connections as well */
	__u32 reserved;
	/* 0: an Ethernet header ends here, and the kernel runs no packet this short as IP. */
	__u32 protocol;
	__u64 padding;
};

/* A series of the exported set. Pinned with the counters: a restart continues the same series. */
struct exported {
	struct traffic base;
	/* Wall clock, nanoseconds since 1970; 0: ended, because its client has left the table. */
	__u64 since_ns;
};

/* The closed connections that had to leave the table in a period. */
struct evicted {
	__u64 period;      /* CLOCK_MONOTONIC >> EVICTED_SHIFT */
	__u64 youngest_ns; /* the lowest age since the close */
	__u64 count;
	__u64 held_ns; /* the sum of the times that they had their slots */
};

/* What must outlive the daemon and does not belong to a client. */
enum meta_entry {
	META_CLASSIFIED_NS = 0, /* older clients have been given a series, or count under "other" */
	META_FOLDED = 1,        /* clients folded so far */
	META_SCOPE = 2,         /* daemon/capture/pinning/counter_scope.ts */
	META_PEER_HASH_KEY = 3, /* random, the key of the hashes; not 0 once the maps are set up */
	META_LISTENERS_FOLDED = 4,
	META_SINCE_NS = 5, /* when all counters were 0 (wall clock, nanoseconds since 1970); 0: unknown */
	META_ENTRIES = 6,
};

/* A descriptor that listens. The listeners' iterator writes one of these for each. */
struct owner {
	struct endpoint local;
	__u32 netns;
	__u32 pid;
	__u64 cgroup_id;
	__u64 started_ns;
	__u8 comm[COMM_SIZE];
	__u32 fd;
	__u8 saves_syns;    /* TCP_SAVE_SYN */
	__u8 saved_by_us;   /* set by toascope, or possibly so: see the mark in syn_kept */
	__u8 defers_accept; /* TCP_DEFER_ACCEPT */
	__u8 transparent;   /* IP_TRANSPARENT: its connections can have other local ports */
};

TOA_STATIC_ASSERT(sizeof(struct toa_profile) == 16, "toa_profile");
TOA_STATIC_ASSERT(sizeof(struct toa_client) == 20, "toa_client");
TOA_STATIC_ASSERT(sizeof(struct endpoint) == 20, "endpoint");
TOA_STATIC_ASSERT(sizeof(struct listener_key) == 20, "listener_key");
TOA_STATIC_ASSERT(sizeof(struct listener_slot) == 32, "listener_slot");
TOA_STATIC_ASSERT(sizeof(struct listener_request) == 40, "listener_request");
TOA_STATIC_ASSERT(__builtin_offsetof(struct listener_request, protocol) == 12, "listener_request.protocol");
TOA_STATIC_ASSERT(sizeof(struct client_key) == 40, "client_key");
TOA_STATIC_ASSERT(sizeof(struct traffic) == 64, "traffic");
TOA_STATIC_ASSERT(sizeof(struct client) == 96, "client");
TOA_STATIC_ASSERT(sizeof(struct connection) == 192, "connection");
TOA_STATIC_ASSERT(__builtin_offsetof(struct connection, counted_received) == 64,
		  "connection.counted_received");
TOA_STATIC_ASSERT(__builtin_offsetof(struct connection, accepted_ns) == 128, "connection.accepted_ns");
TOA_STATIC_ASSERT(sizeof(struct extra) == 44, "extra");
TOA_STATIC_ASSERT(sizeof(struct event) == 248, "event");
TOA_STATIC_ASSERT(sizeof(struct hash_line) == 64, "hash_line");
TOA_STATIC_ASSERT(sizeof(struct unknown_option) == 2, "unknown_option");
TOA_STATIC_ASSERT(sizeof(struct sweep_request) == 24, "sweep_request");
TOA_STATIC_ASSERT(__builtin_offsetof(struct sweep_request, protocol) == 12, "sweep_request.protocol");
TOA_STATIC_ASSERT(sizeof(struct recount_request) == 56, "recount_request");
TOA_STATIC_ASSERT(sizeof(struct exported) == 72, "exported");
TOA_STATIC_ASSERT(sizeof(struct owner) == 72, "owner");

#endif
