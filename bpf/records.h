/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that crosses between kernel and user space. The TypeScript side has its
 * offsets from here (daemon/capture/layout.gen.ts, made from the object's BTF).
 *
 * Integers are host order, times are CLOCK_MONOTONIC nanoseconds, byte counts are payload.
 * A change of any layout raises TOASCOPE_LAYOUT: pinned maps of another layout are not adopted, but what clients and
 * listeners counted is carried over, field by field, by name. So a field that changes its meaning changes its name, and
 * enums that index what is pinned grow at their end alone.
 */
#ifndef TOASCOPE_RECORDS_H
#define TOASCOPE_RECORDS_H

#include <linux/types.h>
#include "../kernel/toa_option.h"

#ifdef __cplusplus
#define RECORD_ASSERT(condition, what) static_assert(condition, what)
#else
#define RECORD_ASSERT(condition, what) _Static_assert(condition, what)
#endif

#include "enums.h"
#include "connection.h"
#include "settings.h"

/* family FAMILY_NONE: the listener "other", for those that found the table full. Its place is OTHER_LISTENER. */
struct listener_key {
	struct endpoint local;
};

/*
 * A slot of the table of listeners. `service` is even while new connections may count there, and odd when the slot is being
 * given back; it grows with each use, so that who comes late knows that the slot is another's.
 */
struct listener_slot {
	struct listener_key key;
	__u32 service;
	__u64 active_ns; /* when a connection last opened or closed, a second more or less */
};

/* Argument of the program that gives a listener's slot back. */
struct listener_request {
	__u32 slot;
	__u32 reserved[2];
	__u32 protocol; /* as in struct sweep_request */
	struct listener_key key;
	__u32 padding;
};

struct client_key {
	__u8 address[16]; /* cut to prefix_length */
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
	__u64 duration_sum_ns; /* of the closed ones */
};

struct client {
	struct traffic traffic;
	__u64 created_ns;
	__u64 active_ns; /* last time that anything was counted */
	__u64 tag;       /* client_tag() of its key; 0: it is being folded, and programs count elsewhere */
	__u32 prefix_slot[2]; /* where it is counted in `prefix_clients`, plus one; 0: nowhere */
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

/* What tells whose an entry is: the kernel uses the memory of one that was deleted at once again. Never 0. */
static inline __u64 client_tag(const struct client_key *key)
{
	return mix_key(key, 0) | 1;
}

/*
 * The counters of a prefix in `prefix_clients`, plus one: one in each of two rows of `slots`, a power of two. The secret (LEDGER_PEER_KEY) comes
 * first in the mix: a host that has a network to choose addresses from cannot choose some that share counters with another network.
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
 * A listener's counters, in several rows so that CPUs seldom meet at a lock: the sum over its rows is the value. A lock and plain sums
 * cost what atomic additions do, and memory goes by rows instead of by possible CPUs.
 */
struct listener {
	RECORD_LOCK lock;
	__u32 reserved;
	struct traffic total;
	struct traffic direct;   /* connections without a believable TOA */
	struct traffic overflow; /* of clients that found the client table full */
	struct traffic folded;   /* what ended series had shown */
	struct traffic unshown;  /* of clients that have left the table without, or before, a series */
	__u64 handshakes[VERDICTS];
	__u64 options[TOA_PROFILE_SLOTS][SEGMENTS]; /* by profile id, and enum segment less one */
	__u64 accepts[SEENS];
	__u64 without_option[WITHOUT_KINDS];
	__u64 hidden_by_family; /* transparent, but the client is IPv6 and the socket AF_INET: it stays the peer */
	struct histogram rtt; /* without health checks, as the next */
	struct histogram duration;
	struct histogram accept_wait;
};

/*
 * The tags of connections with neighbouring places: who looks for a peer scans the tags, and then
 * compares the addresses. 0: there was no connection yet.
 */
struct tag_line {
	__u32 tags[TAGS_IN_LINE];
};

/*
 * What a peer's address and port look like at a glance; never 0. The multipliers are secret (LEDGER_PEER_KEY): a peer who has
 * a network to choose addresses from cannot choose those that look alike, and make lookups read all of them.
 */
static inline __u32 peer_tag(const struct endpoint *peer, __u64 key)
{
	__u64 words[2], mixed;

	__builtin_memcpy(words, peer->address, sizeof(words));
	mixed = (words[0] ^ (__u64)peer->port << 32 ^ peer->family) * (key | 1);
	mixed = (mixed ^ mixed >> 32 ^ words[1]) * ((key >> 32 | key << 32) | 1);
	return mixed >> 32 | 1;
}

struct event {
	__u32 type;
	struct endpoint local;
	struct connection connection; /* without its lock */
	struct toa_virtual virtual_server;
};

/* An option that no active profile takes, seen on a trusted sender's connection without TOA: what a wrong profile looks like. */
struct unknown_option {
	__u8 kind;
	__u8 length;
};

/* Argument of the program that folds a client, and of the one that retires it. */
struct fold_request {
	struct client_key key;
	__u32 shown;         /* it had a series: base is valid */
	struct traffic base; /* what of it had gone into "other" before its series began */
};

/* Argument of the program that counts a client for its prefix anew. */
struct recount_request {
	__u32 reserved[3];
	__u32 protocol; /* as in struct sweep_request */
	struct client_key key;
};

/* Argument of the sweep. Each run goes SLOTS_A_RUN slots further than the one before. */
struct sweep_request {
	__u32 first; /* slot */
	__u32 open;  /* 1: it reads open connections as well */
	__u32 reserved;
	__u32 protocol; /* 0: an Ethernet header ends here, and of IP the kernel runs no packet this short */
	__u64 padding;
};

/* A series of the exported set. Pinned with the counters: a restart shows the same series. */
struct exported {
	struct traffic base;
	__u64 since_ns; /* wall clock, nanoseconds since 1970; 0: it has ended, its client has left the table */
};

/* What must outlive the daemon and is no client's. */
enum ledger_entry {
	LEDGER_CLASSIFIED_NS = 0, /* clients made before have been given a series, or put into "other" */
	LEDGER_FOLDED = 1,        /* clients folded so far */
	LEDGER_FOUNDATION = 2,    /* daemon/capture/foundation.ts */
	LEDGER_PEER_KEY = 3,      /* random, of peer_tag(); not 0 once the maps are there */
	LEDGER_LISTENERS_FOLDED = 4,
	LEDGER_ENTRIES = 5,
};

/* A descriptor that listens; one line for each from the listeners' iterator. */
struct owner {
	struct endpoint local;
	__u32 netns;
	__u32 pid;
	__u64 cgroup_id;
	__u64 started_ns;
	__u8 comm[COMM_SIZE];
	__u32 fd;
	__u8 keeps_syns;    /* TCP_SAVE_SYN */
	__u8 kept_for_us;   /* and we set it, or may have: the mark in syn_kept tells */
	__u8 defers_accept; /* TCP_DEFER_ACCEPT */
	__u8 transparent;   /* IP_TRANSPARENT: its connections may have other local ports */
};

RECORD_ASSERT(sizeof(struct toa_profile) == 16, "toa_profile");
RECORD_ASSERT(sizeof(struct toa_client) == 20, "toa_client");
RECORD_ASSERT(sizeof(struct endpoint) == 20, "endpoint");
RECORD_ASSERT(sizeof(struct listener_key) == 20, "listener_key");
RECORD_ASSERT(sizeof(struct listener_slot) == 32, "listener_slot");
RECORD_ASSERT(sizeof(struct listener_request) == 40, "listener_request");
RECORD_ASSERT(__builtin_offsetof(struct listener_request, protocol) == 12, "listener_request.protocol");
RECORD_ASSERT(sizeof(struct client_key) == 40, "client_key");
RECORD_ASSERT(sizeof(struct traffic) == 64, "traffic");
RECORD_ASSERT(sizeof(struct client) == 96, "client");
RECORD_ASSERT(sizeof(struct connection) == 192, "connection");
RECORD_ASSERT(__builtin_offsetof(struct connection, counted_received) == 64, "connection.counted_received");
RECORD_ASSERT(__builtin_offsetof(struct connection, accepted_ns) == 128, "connection.accepted_ns");
RECORD_ASSERT(sizeof(struct extra) == 44, "extra");
RECORD_ASSERT(sizeof(struct event) == 240, "event");
RECORD_ASSERT(sizeof(struct tag_line) == 64, "tag_line");
RECORD_ASSERT(sizeof(struct unknown_option) == 2, "unknown_option");
RECORD_ASSERT(sizeof(struct sweep_request) == 24, "sweep_request");
RECORD_ASSERT(__builtin_offsetof(struct sweep_request, protocol) == 12, "sweep_request.protocol");
RECORD_ASSERT(sizeof(struct recount_request) == 56, "recount_request");
RECORD_ASSERT(sizeof(struct exported) == 72, "exported");
RECORD_ASSERT(sizeof(struct owner) == 72, "owner");

#endif
