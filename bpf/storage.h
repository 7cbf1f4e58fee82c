/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections in their sockets' storage: no sweep reads them, so callbacks count them. */
#ifndef TOASCOPE_STORAGE_H
#define TOASCOPE_STORAGE_H

#include "add_sums.h"

/* What remains to be done for a connection. */
enum to_do { READ_OPTIONS = 1, COUNT_IN_STORAGE = 2, OPEN_AGAIN = 4 };

/* Returns COUNT_IN_STORAGE if no sweep counts the connection. */
static __always_inline int storage_work(const struct connection *connection)
{
	return connection->flags & CONN_FALLBACK ? COUNT_IN_STORAGE : 0;
}

/* Counts a closed connection in its socket's storage. */
__noinline int count_closed_in_storage(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct connection *connection = sk ? bpf_sk_storage_get(&fallback, sk, 0, 0) : 0;
	__u64 cookie;

	if (!connection || connection->state != SLOT_CLOSED)
		return 0;
	cookie = connection->cookie;
	if (connection->flags & CONN_EXTRA)
		bpf_map_delete_elem(&extras, &cookie);
	return count_closed(connection, COUNTED_BY_CLOSE);
}

/* Counts what is new of an open connection, because no sweep reads it. */
__noinline int count_in_storage(struct bpf_sock_ops *ctx)
{
	struct attribution attribution = { .drop = DROPS };
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	struct sums sums = {};
	bool first;

	connection = sk ? bpf_sk_storage_get(&fallback, sk, 0, 0) : 0;
	if (!connection || connection->state != SLOT_OPEN)
		return 0;
	/* only callbacks of this socket change these two */
	first = connection->verdict != TOA_VERDICT_PENDING && !(connection->flags & CONN_ATTRIBUTED);
	if (first && toa_has_client(connection->verdict))
		attribute(&connection->client, connection->listener, &attribution);
	bpf_spin_lock(&connection->lock);
	take_identity(connection, &sums);
	if (first && toa_has_client(connection->verdict))
		store_attribution(connection, &attribution);
	connection->flags |= CONN_SWEPT | (first ? CONN_ATTRIBUTED : 0);
	bpf_spin_unlock(&connection->lock);
	sums.accept = ACCEPT_PENDING;
	sums.total.opened = !(sums.flags & CONN_SWEPT);
	count_attribution(&attribution);
	if (first || sums.total.opened)
		add_sums(&sums, attribution.client, bpf_ktime_get_ns());
	return 0;
}

#endif
