/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of connections for lookups. A connection keeps its place until it has closed and
 * all places have been used since: the one that closed first makes room, an open one never.
 */
#ifndef TOASCOPE_TABLE_H
#define TOASCOPE_TABLE_H

#include "account.h"
#include "places.h"

/* A socket may outlive its entry: once closed, the place may have gone to another connection. */
static __always_inline struct connection *connection_at(__u32 place, __u64 cookie)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &place);

	return connection && connection->cookie == cookie ? connection : 0;
}

static __always_inline void find_connection(struct subject *on)
{
	on->connection = connection_at(on->state->place, on->state->cookie);
}

/* 0 is never now, for all but the first second of a host. */
static __always_inline __u32 coarse_time(__u64 ns)
{
	return ns >> 30;
}

/* Its socket is still there: see reap.bpf.c. */
static __always_inline void mark_flushed(const struct subject *on)
{
	if (on->connection)
		on->connection->flushed = coarse_time(on->now);
}

/*
 * Has the reaper closed it? Then all of it is counted, although a callback comes after all. A connection that is
 * open keeps its entry: if that is closed, or another's, the reaper did so.
 */
static __always_inline bool reaped(const struct subject *on)
{
	return on->state->place != NO_PLACE && (!on->connection || on->connection->closed_ns);
}

/* Enters the connection. Who reads it meanwhile finds no cookie. Not inlined: the stack of those who call is full on 5.10. */
static __noinline int enter_connection(struct subject *on)
{
	__u32 place = connection_place(), line = place / TAGS_IN_LINE, peer_key = LEDGER_PEER_KEY;
	struct connection *connection = bpf_map_lookup_elem(&connections, &place);
	struct tag_line *tags = bpf_map_lookup_elem(&peer_tags, &line);
	const __u64 *key = bpf_map_lookup_elem(&ledger, &peer_key);

	on->state->place = place;
	on->connection = connection;
	if (!connection || !tags || !key)
		return 0;
	if (connection->cookie && connection->closed_ns + on->set->retain_ns > on->now)
		count_drop(DROP_CONNECTION_EVICTED);
	*(volatile __u64 *)&connection->cookie = 0;
	asm volatile("" ::: "memory");
	__builtin_memset(connection, 0, sizeof(*connection));
	connection->opened_ns = on->now;
	connection->netns = on->sk->skc_net.net->ns.inum;
	connection->listener = on->state->listener;
	local_endpoint(on->sk, &connection->local);
	peer_endpoint(on->sk, &connection->peer);
	tags->tags[place % TAGS_IN_LINE] = peer_tag(&connection->peer, *key);
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&connection->cookie = on->state->cookie;
	return 0;
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
