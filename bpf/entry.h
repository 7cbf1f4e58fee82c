/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a sweep reads of an entry before it reads the socket, and compares under the lock before it
 * changes the entry.
 */
#ifndef TOASCOPE_ENTRY_H
#define TOASCOPE_ENTRY_H

#include "slots.h"

/* A copy of the entry's fields, made under its lock. */
struct entry {
	__u64 cookie;
	__u64 socket;
	__u64 counted_received;
	__u64 counted_sent;
	__u32 counted_retransmitted;
	struct toa_client client;
	__u16 listener;
	__u16 flags;
	__u8 verdict;
	__u8 peername_family;
	bool is_open;
};

/*
 * Returns whether it is still the same open connection, with the same verdict. Its socket can have
 * been reused for another connection (forget_connection()).
 */
static __always_inline bool is_unchanged(const struct connection *connection, const struct entry *entry)
{
	return is_open(connection, entry->cookie) && connection->socket == entry->socket &&
	       connection->verdict == entry->verdict;
}

static __always_inline void read_entry(struct connection *connection, struct entry *entry)
{
	bpf_spin_lock(&connection->lock);
	entry->is_open = connection->state == SLOT_OPEN;
	entry->cookie = connection->cookie;
	entry->socket = connection->socket;
	entry->client = connection->client;
	entry->listener = connection->listener;
	entry->flags = connection->flags;
	entry->counted_received = connection->counted_received;
	entry->counted_sent = connection->counted_sent;
	entry->counted_retransmitted = connection->counted_retransmitted;
	entry->verdict = connection->verdict;
	entry->peername_family = connection->peername_family;
	bpf_spin_unlock(&connection->lock);
}

#endif
