/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hashes by which user space finds connections. It keeps an index of them, and reads again only
 * the blocks of slots whose change mark is another than it was: so a lookup costs the same in a
 * table of any size. A mark is set after the hash, and to a value that it has never had.
 */
#ifndef TOASCOPE_HASHES_H
#define TOASCOPE_HASHES_H

#include "slots.h"

/* Where the hashes of a connection are. */
struct hashes_at {
	struct slot_hashes *hashes; /* 0: the connection has no slot */
	__u64 *mark;
	__u64 key;
	__u32 slot;
};

static __always_inline struct hashes_at hashes_at(__u32 slot)
{
	__u32 line_index = slot / HASHES_PER_LINE, block = slot / SLOTS_PER_BLOCK;
	__u32 key_entry = META_PEER_HASH_KEY;
	struct hash_line *line = bpf_map_lookup_elem(&slot_hashes, &line_index);
	const __u64 *key = bpf_map_lookup_elem(&meta, &key_entry);
	struct hashes_at at = { .slot = slot };

	at.mark = bpf_map_lookup_elem(&change_marks, &block);
	if (!line || !key || !at.mark || slot >= cfg.connection_slots)
		return at;
	at.hashes = &line->slots[slot % HASHES_PER_LINE];
	at.key = *key;
	return at;
}

/* Returns the slot of a connection; `cfg.connection_slots` if it has none. */
static __noinline __u32 slot_of(__u64 cookie)
{
	const struct connection *connection;
	__u32 probe, slot;

	for (probe = 0; cfg.kernel_reads && probe < PROBES; probe++) {
		slot = slot_at(cookie, probe);
		connection = connection_in(slot);
		if (connection && *(volatile __u64 *)&connection->cookie == cookie)
			return slot;
	}
	return cfg.connection_slots;
}

/*
 * Writes the hash of a client that has become known. The caller holds the lock of the connection's
 * entry: otherwise its slot could already have another connection.
 */
static __always_inline void write_client_hash(const struct hashes_at *at, const struct connection *connection)
{
	if (!at->hashes)
		return;
	*(volatile __u32 *)&at->hashes->client =
		client_hash(&connection->client, connection->peer.port, at->key);
	*(volatile __u64 *)at->mark = change_mark(at->slot, connection->opened_ns, 1);
}

#endif
