/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the client that a connection counts for. */
#ifndef TOASCOPE_CLIENTS_H
#define TOASCOPE_CLIENTS_H

#include "config.h"
#include "listener_slots.h"
#include "per_prefix.h"
#include "sums.h"

/* Writes the key of a client. `prefix_length` is how many bits of its address are significant. */
static __noinline int fill_client_key(const struct toa_client *client, __u32 listener, __u32 prefix_length,
				      struct client_key *key)
{
	const struct listener_slot *slot = bpf_map_lookup_elem(&listener_keys, &listener);
	__u32 words[4];

	__builtin_memcpy(words, client->address, sizeof(words));
	mask_address(words, prefix_length);
	__builtin_memcpy(key->address, words, sizeof(words));
	key->family = client->family;
	key->prefix_length = prefix_length;
	key->reserved = 0;
	__builtin_memset(&key->listener, 0, sizeof(key->listener));
	if (slot)
		__builtin_memcpy(&key->listener, &slot->key.local, sizeof(key->listener));
	return 0;
}

static __always_inline bool generation_matches(const struct client *client, const struct client_key *key)
{
	return *(volatile __u64 *)&client->generation == client_generation(key);
}

/* The client that a connection counts for from now on. */
struct attribution {
	struct client *client; /* 0: it counts under client="other" */
	__u8 prefix_length;    /* of the address in the key */
	__u8 drop;             /* enum drop: why it has no entry of its own; DROPS: it has one */
};

static __always_inline void count_attribution(const struct attribution *attribution)
{
	if (attribution->drop != DROPS)
		count_drop(attribution->drop);
}

/* The caller holds the entry's lock. */
static __always_inline void store_attribution(struct connection *connection,
					      const struct attribution *attribution)
{
	connection->prefix_length = attribution->prefix_length;
	if (!attribution->client)
		connection->flags |= CONN_IN_OVERFLOW;
}

/*
 * Creates the entry of a client if there is room. The kernel can refuse this (EBUSY, from 5.11 on)
 * if this program has interrupted another one that is working on the table.
 */
static __noinline int create_client(const struct client_key *key, const struct prefix_counters *prefix,
				    struct attribution *to)
{
	struct client fresh = {};
	struct client *client;
	long error;

	fresh.generation = client_generation(key);
	fresh.created_ns = bpf_ktime_get_ns();
	fresh.prefix_slot[0] = prefix->slot[0];
	fresh.prefix_slot[1] = prefix->slot[1];
	error = bpf_map_update_elem(&clients, key, &fresh, BPF_NOEXIST);
	if (!error)
		count_in_prefix(prefix, 1);
	client = bpf_map_lookup_elem(&clients, key);
	if (!client)
		to->drop = error == -EBUSY ? DROP_CLIENTS_BUSY : DROP_CLIENTS_FULL;
	else if (*(volatile __u64 *)&client->generation != fresh.generation)
		to->drop = DROP_CLIENT_FOLDING;
	else
		to->client = client;
	return 0;
}

/*
 * Finds the client of a connection whose opening is not counted yet. If the client's prefix has
 * used up its share of the table, that is the entry of the prefix (per_prefix.h). The caller sets
 * `to` to zeros, and its `drop` to DROPS.
 *
 * An entry whose generation matches stays valid until this run ends: folding clears the generation
 * first, then waits for a grace period (fold.bpf.c). An entry that is being deleted and reused for
 * another client at this moment has generation 0 or the other client's.
 */
static __noinline int attribute(const struct toa_client *of, __u32 listener, struct attribution *to)
{
	const struct settings *set = current_settings();
	struct prefix_counters prefix = {};
	struct client_key key;
	struct client *client;
	__u32 family;

	if (!set)
		return 0;
	family = family_index(of->family);
	to->prefix_length = set->prefix_length[family];
	fill_client_key(of, listener, to->prefix_length, &key);
	client = bpf_map_lookup_elem(&clients, &key);
	if (!client && set->per_prefix_max && set->per_prefix_length[family] < to->prefix_length) {
		fill_client_key(of, listener, set->per_prefix_length[family], &key);
		if (clients_of_prefix(&key, &prefix) >= set->per_prefix_max) {
			to->drop = DROP_CLIENTS_PER_PREFIX;
			to->prefix_length = set->per_prefix_length[family];
			client = bpf_map_lookup_elem(&clients, &key);
			prefix.slot[0] = 0;
			prefix.slot[1] = 0;
		} else {
			fill_client_key(of, listener, to->prefix_length, &key);
		}
	}
	if (!client)
		return create_client(&key, &prefix, to);
	if (generation_matches(client, &key))
		to->client = client;
	else
		to->drop = DROP_CLIENT_FOLDING;
	return 0;
}

/*
 * Finds the client of a connection whose opening is counted. The open connection keeps that entry
 * in the table: if the client is just being folded, the fold sees the connection and stops. An
 * additional subflow (mptcp.h) can outlive the first one, so its client can have left the table.
 */
static __noinline struct client *find_attributed_client(const struct sums *sums)
{
	const struct settings *set = current_settings();
	__u32 prefix_length = sums->prefix_length;
	struct client_key key;
	struct client *client;

	if (!set || sums->flags & CONN_IN_OVERFLOW)
		return 0;
	if (cfg.mptcp_helpers && sums->flags & CONN_JOINED &&
	    current_slot(sums->listener, sums->listener_service, true) != sums->listener)
		return 0;
	if (sums->flags & CONN_JOINED)
		prefix_length = set->prefix_length[family_index(sums->client.family)];
	fill_client_key(&sums->client, sums->listener, prefix_length, &key);
	client = bpf_map_lookup_elem(&clients, &key);
	if (!cfg.mptcp_helpers || !(sums->flags & CONN_JOINED))
		return client;
	if (!client) {
		prefix_length = set->per_prefix_length[family_index(sums->client.family)];
		fill_client_key(&sums->client, sums->listener, prefix_length, &key);
		client = bpf_map_lookup_elem(&clients, &key);
	}
	return client && generation_matches(client, &key) ? client : 0;
}

#endif
