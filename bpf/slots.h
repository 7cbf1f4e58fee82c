/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection table. The socket's cookie determines the slots that a connection can have, so
 * that each program finds the entry without a search and without socket storage.
 *
 * The kernel assigns each cookie only once, and never 0: an entry whose `cookie` equals the
 * socket's, compared under the entry's lock, is the socket's. A check without the lock is only a
 * hint. An entry leaves SLOT_OPEN by a callback of its own socket, or by a sweep that found the
 * socket gone; so the entry does not change its connection while a callback of its open socket
 * reads it.
 */
#ifndef TOASCOPE_SLOTS_H
#define TOASCOPE_SLOTS_H

#include "maps.h"

enum { PROBES = 4 };

/*
 * The step is odd, so that if each connection uses up two cookies and open ones have every second
 * slot, the probes reach the others.
 */
static __always_inline __u32 slot_at(__u64 cookie, __u32 probe)
{
	return ((__u32)cookie + probe * ((cfg.connection_slots / PROBES) | 37)) & (cfg.connection_slots - 1);
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

/*
 * Finds the entry of a socket, in the table or in the socket's storage. 0: the kernel side has
 * none, or no longer has one.
 */
static __always_inline struct connection *find_connection(void *sk, __u64 cookie)
{
	struct connection *found = cookie && cfg.kernel_reads ? find_in_table(cookie) : 0;

	return found ?: bpf_sk_storage_get(&fallback, sk, 0, 0);
}

/* The caller holds the entry's lock. */
static __always_inline bool is_open(const struct connection *connection, __u64 cookie)
{
	return connection->cookie == cookie && connection->state == SLOT_OPEN;
}

#endif
