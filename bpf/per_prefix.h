/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts how many clients of one prefix are in the table. A prefix that exceeds its share counts as
 * one client, so that a subscriber with a /64 to choose addresses from cannot fill the table for
 * all others.
 *
 * There are two rows of counters, and each prefix has one counter in each row (a count-min sketch).
 * The smaller of the two is never less than the true number, and is greater only if the prefix
 * shares both counters with others. A secret determines which prefixes share. A client stores its
 * two counters, so that it leaves them when it leaves the table or when its prefix changes
 * (recount.bpf.c).
 */
#ifndef TOASCOPE_PER_PREFIX_H
#define TOASCOPE_PER_PREFIX_H

#include "config.h"
#include "count.h"

/* The counters of a prefix, plus one; 0: it has none. */
struct prefix_counters {
	__u32 slot[2];
};

static __always_inline __u32 *prefix_counter(__u32 slot)
{
	slot--;
	return bpf_map_lookup_elem(&prefix_clients, &slot);
}

/* Finds the counters of a prefix. Returns how many clients it has. */
static __noinline __u32 clients_of_prefix(const struct client_key *prefix, struct prefix_counters *at)
{
	__u32 peer_key = META_PEER_HASH_KEY, *first, *second;
	const __u64 *secret = bpf_map_lookup_elem(&meta, &peer_key);

	if (!secret)
		return 0;
	prefix_slots_of(prefix, *secret, cfg.prefix_slots, at->slot);
	first = prefix_counter(at->slot[0]);
	second = prefix_counter(at->slot[1]);
	if (!first || !second)
		return 0;
	return *first < *second ? *first : *second;
}

/* `by` is 1 when a client is added to the table, and -1 when it is removed. */
static __always_inline void count_in_prefix(const struct prefix_counters *at, int by)
{
	__u32 *first = at->slot[0] ? prefix_counter(at->slot[0]) : 0;
	__u32 *second = at->slot[1] ? prefix_counter(at->slot[1]) : 0;

	if (first && (by > 0 || *first))
		add(*first, by);
	if (second && (by > 0 || *second))
		add(*second, by);
}

#endif
