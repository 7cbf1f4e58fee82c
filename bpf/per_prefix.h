/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many clients of one prefix the table has: a prefix beyond its share is counted as one client, so that a subscriber who has a /64
 * to choose addresses from cannot fill the table for all others.
 *
 * There are two rows of counters, and each prefix has one in each (a count-min sketch): the smaller of the two is never less than the
 * truth, and more only where the prefix shares both with others. Which it shares follows from a secret. A client remembers its two counters, so
 * that it leaves them when it leaves the table, or when another prefix is its own (recount.bpf.c).
 */
#ifndef TOASCOPE_PER_PREFIX_H
#define TOASCOPE_PER_PREFIX_H

#include "config.h"
#include "count.h"

/* Counters in a row, a power of two. Set before loading. */
extern const volatile __u32 prefix_slots;

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
	__u32 peer_key = LEDGER_PEER_KEY, *first, *second;
	const __u64 *secret = bpf_map_lookup_elem(&ledger, &peer_key);

	if (!secret)
		return 0;
	prefix_slots_of(prefix, *secret, prefix_slots, at->slot);
	first = prefix_counter(at->slot[0]);
	second = prefix_counter(at->slot[1]);
	if (!first || !second)
		return 0;
	return *first < *second ? *first : *second;
}

/* `by`: 1 when a client enters the table, -1 when it leaves. */
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
