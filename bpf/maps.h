/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps, shared by all programs. They are weak: every program file has them, the
 * linker keeps one of each. Sizes marked so are set by the daemon before loading.
 */
#ifndef TOASCOPE_MAPS_H
#define TOASCOPE_MAPS_H

#include "core.h"
#include "records.h"

/*
 * The connections. A slot is found from the socket's cookie (slots.h). BPF_F_MMAPABLE has the values begin at a page, so that entries
 * share no cache line; no process can map it, since it has locks. Size: connections.max.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct connection);
} connections __weak SEC(".maps");

/* Connections whose slots are all taken by open ones, and all of them where kernel memory cannot be read. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} fallback __weak SEC(".maps");

/* By cookie: CONN_EXTRA. Size: connections.max */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct extra);
} extras __weak SEC(".maps");

/*
 * Room for the option list that is being parsed, and for the clients in it: a stack is too small on 5.10. Who has the lock is not
 * interrupted; CPUs may share a place.
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

/* Listeners that keep the SYNs of their connections for us: the mark says that it was not the application's wish. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} syn_kept __weak SEC(".maps");

/*
 * A connection looks for its listener's slot once, when it opens. Sizes: listeners.max, and one for "other"; of the rows,
 * `listener_rows` for each.
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
 * What listeners before had counted at a place, and "other" shows: the one that has the place now began from there. Written
 * by the daemon only.
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
} listener_places __weak SEC(".maps");

/*
 * By local port: a slot that `listener_places` gave for a listener there, and above it the slot's service then. A guess that spares a hash:
 * while the slot has that service, no other listener has it. 0: none, since it is the slot of "other".
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} listener_guesses __weak SEC(".maps");

/* size: listeners.max; places that were given back, or taken for a listener which had one already */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 256);
	__type(value, __u32);
} spare_listeners __weak SEC(".maps");

/* size: clients.capacity */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct client_key);
	__type(value, struct client);
} clients __weak SEC(".maps");

/* Clients of a network: see per_prefix.h. Size: two rows */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * 131072);
	__type(key, __u32);
	__type(value, __u32);
} prefix_clients __weak SEC(".maps");

/* size: clients.capacity; written by the daemon alone, pinned with the counters */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct client_key);
	__type(value, struct exported);
} exported __weak SEC(".maps");

/*
 * Wall clock, nanoseconds since 1970: when a listener's counters were 0; 0: nothing says when, it came from another layout. Size and
 * writer: as `listener_places`, and the daemon alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 257);
	__type(key, struct listener_key);
	__type(value, __u64);
} listener_since __weak SEC(".maps");

/* enum ledger_entry; pinned with the counters */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEDGER_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} ledger __weak SEC(".maps");

/* size: connections.max / TAGS_IN_LINE; user space has it in its memory */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / TAGS_IN_LINE);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tag_line);
} peer_tags __weak SEC(".maps");

/* Listener slots that were never used. A lock and not an atomic add with a result: 5.10 has none. */
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

/* size: bpf.ring_bytes */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} ring __weak SEC(".maps");

/* connections on which it was seen */
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTED_BYS);
	__type(key, __u32);
	__type(value, __u64);
} counted __weak SEC(".maps");

/* which of the two settings counts: one aligned store switches all of them */
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
