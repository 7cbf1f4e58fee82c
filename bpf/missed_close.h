/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Closes connections whose end no callback reported, because another sockops program had replaced
 * the socket's callback flags: two sweeps that find the socket gone close them.
 */
#ifndef TOASCOPE_MISSED_CLOSE_H
#define TOASCOPE_MISSED_CLOSE_H

#include "close.h"
#include "entry.h"

#define GONE_SHIFT 30

/*
 * Closes a connection that two sweeps have found gone, without the bytes since the sweep before
 * those. The caller holds the lock.
 */
static __always_inline void close_gone(struct connection *connection, const struct hashes_at *at,
				       bool is_trusted)
{
	__u64 closed_ns = (__u64)connection->gone << GONE_SHIFT;
	struct progress last = {
		.received = connection->counted_received,
		.sent = connection->counted_sent,
		.retransmitted = connection->counted_retransmitted,
	};

	if (connection->verdict == TOA_VERDICT_PENDING) {
		decide_without_option(connection);
		if (toa_has_client(connection->verdict))
			write_client_hash(at, connection);
		connection->flags |= is_trusted ? CONN_TRUSTED : 0;
	}
	write_last(connection, &last, closed_ns < connection->opened_ns ? connection->opened_ns : closed_ns,
		   0);
}

/* Returns 1 if it is closed and must be counted. */
static __noinline int close_missed(struct connection *connection, const struct entry *entry, __u64 now)
{
	const struct settings *set = current_settings();
	bool is_trusted = set && trusted(set, &connection->peer), closed;
	bool was_gone = entry->flags & CONN_GONE;
	struct sample_facts facts = {
		.retransmitted = connection->counted_retransmitted,
		.accept_wait_ns = accept_wait_ns(set, connection, 0),
	};
	struct hashes_at at = hashes_at(slot_of(entry->cookie));
	struct reserved_event reserved =
		reserve_event(was_gone ? set : 0, connection, entry->cookie, EVENT_CLOSED, &facts);

	bpf_spin_lock(&connection->lock);
	closed = was_gone && is_unchanged(connection, entry) && connection->flags & CONN_GONE;
	if (closed) {
		close_gone(connection, &at, is_trusted);
		copy_to_event(&reserved, connection);
	} else if (is_unchanged(connection, entry)) {
		connection->flags |= CONN_GONE;
		connection->gone = now >> GONE_SHIFT;
	}
	bpf_spin_unlock(&connection->lock);
	finish_event(&reserved, closed);
	if (closed)
		count_drop(DROP_CLOSE_UNHEARD);
	return closed;
}

#endif
