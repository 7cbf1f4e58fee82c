/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps, shared by all programs. They are weak: every program file defines them, and the linker
 * keeps one of each. Sizes named in a comment are set by the daemon before loading.
 */
#ifndef TOASCOPE_MAPS_H
#define TOASCOPE_MAPS_H

#include "core.h"
#include "records.h"

/*
 * The connection table. The socket's cookie determines the slot (slots.h). BPF_F_MMAPABLE makes the
 * values begin at a page, so that entries share no cache line; no process can map them, because
 * they contain locks. Size: connections.max.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct connection);
} connections __weak SEC(".maps");

/*
 * Connections whose possible slots all hold open connections; every connection if kernel memory
 * cannot be read.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} fallback __weak SEC(".maps");

/* Keyed by cookie, for connections with CONN_EXTRA. Size: connections.max. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct extra);
} extras __weak SEC(".maps");

/*
 * Room for the option list that is being parsed and for the clients in it, because the stack is too
 * small on 5.10. The holder of the lock is not interrupted; CPUs can share an element.
 */
struct parse_scratch {
	struct bpf_spin_lock lock;
	struct toa_list list;
	struct toa_client client;
	struct toa_client other;
};

enum { PARSE_SCRATCHES = 64 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PARSE_SCRATCHES);
	__type(key, __u32);
	__type(value, struct parse_scratch);
} parse_scratches __weak SEC(".maps");

/* Marks the listeners on which toascope, and not the application, set TCP_SAVE_SYN. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} syn_kept __weak SEC(".maps");

/*
 * A connection looks up its listener's slot once, when it opens. Sizes: listeners.max, and one for
 * "other"; `listeners` has `cfg.listener_rows` rows for each.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener);
} listeners __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener_slot);
} listener_keys __weak SEC(".maps");

/*
 * What earlier listeners had counted in a slot, and "other" shows: the counts that the slot's
 * current listener began with. Written only by the daemon.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener);
} listener_bases __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 257);
	__type(key, struct listener_key);
	__type(value, __u32);
} listener_index __weak SEC(".maps");

/*
 * Keyed by local port: a slot that `listener_index` returned for a listener on this port and, in
 * the upper half, the slot's service at that time. This guess avoids a hash lookup: while the slot
 * has that service, no other listener has the slot. 0: no guess, because 0 is the slot of "other".
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} listener_guesses __weak SEC(".maps");

/* Slots that were freed, or allocated for a listener that already had one. Size: listeners.max. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 256);
	__type(value, __u32);
} spare_listeners __weak SEC(".maps");

/* Size: clients.capacity. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct client_key);
	__type(value, struct client);
} clients __weak SEC(".maps");

/* How many clients each prefix has: see per_prefix.h. Size: two rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * 131072);
	__type(key, __u32);
	__type(value, __u32);
} prefix_clients __weak SEC(".maps");

/* Written only by the daemon, pinned with the counters. Size: clients.capacity. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct client_key);
	__type(value, struct exported);
} exported __weak SEC(".maps");

/*
 * When a listener's counters were 0: wall clock, nanoseconds since 1970. 0: unknown, because the
 * listener was migrated from another layout. Written only by the daemon. Size: that of
 * `listener_index`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 257);
	__type(key, struct listener_key);
	__type(value, __u64);
} listener_since __weak SEC(".maps");

/* By enum meta_entry; pinned with the counters. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, META_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} meta __weak SEC(".maps");

/* Mapped into user space. Size: connections.max / HASHES_PER_LINE. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / HASHES_PER_LINE);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct hash_line);
} slot_hashes __weak SEC(".maps");

/* See hashes.h; mapped into user space. Size: connections.max / SLOTS_PER_BLOCK. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / SLOTS_PER_BLOCK);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} change_marks __weak SEC(".maps");

/*
 * Allocates listener slots that were never used. It has a lock because 5.10 has no atomic addition
 * that returns a result.
 */
struct fresh_slots {
	struct bpf_spin_lock lock;
	__u32 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fresh_slots);
} fresh_listeners __weak SEC(".maps");

/* Size: bpf.ring_bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} ring __weak SEC(".maps");

/* Counts the connections on which each unknown option was seen. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UNKNOWN_OPTIONS);
	__type(key, struct unknown_option);
	__type(value, __u64);
} unknown_options __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROPS);
	__type(key, __u32);
	__type(value, __u64);
} drops __weak SEC(".maps");

/* By period, in turn. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EVICTED_PERIODS);
	__type(key, __u32);
	__type(value, struct evicted);
} evicted_connections __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTED_BYS);
	__type(key, __u32);
	__type(value, __u64);
} counted __weak SEC(".maps");

/* Selects which of the two sets of settings is in force: one aligned store switches all of them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct settings);
} settings __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * PORT_WORDS);
	__type(key, __u32);
	__type(value, struct port_bits);
} ports __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trust_key);
	__type(value, __u32);
} trust __weak SEC(".maps");

#endif
