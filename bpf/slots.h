/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of connections. The socket's cookie says which slots a connection can have, so that each program finds the entry
 * without a search and without socket storage.
 *
 * The kernel gives a cookie once, ever, and 0 never: an entry whose `cookie` equals the socket's, compared under the entry's lock,
 * is the socket's. Every look without the lock is a hint. An entry leaves SLOT_OPEN by a callback of its own socket, or by a sweep
 * that found the socket gone; so what a callback of an open socket reads of its own entry does not change hands.
 */
#ifndef TOASCOPE_SLOTS_H
#define TOASCOPE_SLOTS_H

#include "maps.h"

/* Set before loading: connections.max, a power of two. */
extern const volatile __u32 connection_slots;

/* By probe: can kernel memory be read by address? Where it cannot, no sweep reads open connections: none uses the table. */
extern const volatile bool kernel_reads;

enum { PROBES = 4 };

/* The step is odd: where each connection takes two cookies, open ones have every second slot. */
static __always_inline __u32 slot_at(__u64 cookie, __u32 probe)
{
	return ((__u32)cookie + probe * ((connection_slots / PROBES) | 37)) & (connection_slots - 1);
}

static __always_inline struct connection *connection_in(__u32 slot)
{
	return bpf_map_lookup_elem(&connections, &slot);
}

static __always_inline struct connection *find_in_table(__u64 cookie)
{
	struct connection *connection;
	__u32 probe;

#pragma unroll
	for (probe = 0; probe < PROBES; probe++) {
		connection = connection_in(slot_at(cookie, probe));
		if (connection && *(volatile __u64 *)&connection->cookie == cookie)
			return connection;
	}
	return 0;
}

/* The entry of a socket: in the table, or in the socket's storage. 0: the kernel side knows nothing of it, or not any more. */
static __always_inline struct connection *find_connection(void *sk, __u64 cookie)
{
	struct connection *found = cookie && kernel_reads ? find_in_table(cookie) : 0;

	return found ?: bpf_sk_storage_get(&fallback, sk, 0, 0);
}

/* The caller holds the entry's lock. */
static __always_inline bool is_open(const struct connection *connection, __u64 cookie)
{
	return connection->cookie == cookie && connection->state == SLOT_OPEN;
}

#endif
