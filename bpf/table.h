/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of connections for lookups. A connection's key is its peer's address and port
 * and a slot, so that who asks for a peer needs no scan, and a connection that reuses the
 * addresses of a closed one does not hide it. The oldest closed one makes room for a new
 * one; open ones are never put out.
 */
#ifndef TOASCOPE_TABLE_H
#define TOASCOPE_TABLE_H

#include "account.h"

#define E2BIG 7 /* a hash map is full */

static __always_inline void connection_key(const struct endpoint *peer, __u8 slot, struct connection_key *key)
{
	__builtin_memcpy(key->address, peer->address, sizeof(key->address));
	key->port = peer->port;
	key->family = peer->family;
	key->slot = slot;
	key->reserved = 0;
}

/* A socket may outlive its entry: once closed, that may have gone to another connection. */
static __always_inline void find_connection(struct subject *on)
{
	struct connection *connection;
	struct connection_key key;
	struct endpoint peer;

	on->connection = 0;
	if (on->state->slot >= PEER_SLOTS)
		return;
	peer_endpoint(on->sk, &peer);
	connection_key(&peer, on->state->slot, &key);
	connection = bpf_map_lookup_elem(&connections, &key);
	on->connection = connection && connection->cookie == on->state->cookie ? connection : 0;
}

/* Set when the table is found full, which it then stays: nobody but the ones below takes entries out. */
extern __u32 connections_full;

static __always_inline void count_eviction(const struct subject *on, const struct connection *connection)
{
	if (connection->closed_ns + on->set->retain_ns > on->now)
		count_drop(DROP_CONNECTION_EVICTED);
}

/* Puts the oldest closed connection out. False: there is none. */
static __always_inline bool evict_closed(const struct subject *on)
{
	struct closed_entry oldest;
	struct connection *connection;

	if (bpf_map_pop_elem(&closed_queue, &oldest))
		return false;
	connection = bpf_map_lookup_elem(&connections, &oldest.key);
	/* its slot may have gone to another connection meanwhile */
	if (connection && connection->cookie == oldest.cookie) {
		count_eviction(on, connection);
		bpf_map_delete_elem(&connections, &oldest.key);
	}
	return true;
}

/* Puts it in a slot that is free, else in that of a closed connection. Returns the slot, or PEER_SLOTS. */
static __always_inline __u8 insert_connection(const struct subject *on)
{
	const struct connection *connection = on->connection;
	struct connection_key key;
	struct connection *old;
	__u8 slot;
	int error;

	/* one that fails first would cost as much as one that succeeds */
	if (connections_full)
		evict_closed(on);
	connection_key(&connection->peer, 0, &key);
	for (slot = 0; slot < PEER_SLOTS; slot++) {
		key.slot = slot;
		error = bpf_map_update_elem(&connections, &key, connection, BPF_NOEXIST);
		if (!error)
			return slot;
		if (error == -E2BIG) {
			connections_full = 1;
			if (evict_closed(on) &&
			    !bpf_map_update_elem(&connections, &key, connection, BPF_NOEXIST))
				return slot;
			count_drop(DROP_CONNECTIONS_FULL);
			return PEER_SLOTS;
		}
	}
	for (slot = 0; slot < PEER_SLOTS; slot++) {
		key.slot = slot;
		old = bpf_map_lookup_elem(&connections, &key);
		if (!old || !old->closed_ns)
			continue;
		count_eviction(on, old);
		if (!bpf_map_update_elem(&connections, &key, connection, BPF_EXIST))
			return slot;
	}
	count_drop(DROP_PEER_SLOTS_FULL);
	return PEER_SLOTS;
}

static __always_inline void remember_closed(const struct subject *on)
{
	struct closed_entry entry = { .cookie = on->connection->cookie };

	connection_key(&on->connection->peer, on->state->slot, &entry.key);
	if (bpf_map_push_elem(&closed_queue, &entry, 0) && evict_closed(on))
		bpf_map_push_elem(&closed_queue, &entry, 0);
}

/* Tells user space, where somebody listens. Nothing that is counted depends on it. */
static __always_inline void tell(const struct subject *on, __u32 type)
{
	struct event *event;

	if (!on->connection || !(on->set->events >> type & 1))
		return;
	event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count_drop(DROP_RING_FULL);
		return;
	}
	event->type = type;
	event->reserved = 0;
	__builtin_memcpy(&event->connection, on->connection, sizeof(event->connection));
	/* the daemon comes by every 50 ms: a wake-up for each record would cost the server more than the record */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

#endif
