/* SPDX-License-Identifier: GPL-2.0-only */
/* Opens a connection: in a slot of the table, or in its socket's storage. */
#ifndef TOASCOPE_CLAIM_SLOT_H
#define TOASCOPE_CLAIM_SLOT_H

#include "clients.h"
#include "hashes.h"
#include "mptcp.h"

/* What the entry of a new connection is initialized with. */
struct opening {
	__u64 cookie;
	__u64 socket;
	__u64 opened_ns;
	struct toa_client client; /* valid if the verdict is already decided */
	struct endpoint peer;
	__u32 netns;
	__u32 listener_service;
	__u32 local4;
	__u16 local_port;
	__u16 listener;
	__u16 flags;
	__u8 verdict;
	__u8 segment;
};

/* The caller holds the lock, or has just created the entry. */
static __always_inline void init_entry(struct connection *connection, const struct opening *opening)
{
	connection->state = SLOT_OPEN;
	connection->verdict = opening->verdict;
	connection->flags = opening->flags;
	connection->cookie = opening->cookie;
	connection->socket = opening->socket;
	connection->opened_ns = opening->opened_ns;
	connection->closed_ns = 0;
	connection->client = opening->client;
	connection->listener = opening->listener;
	connection->accept_kind = opening->flags & CONN_JOINED ? ACCEPT_UNOBSERVED : ACCEPT_PENDING;
	connection->segment = opening->segment;
	connection->counted_received = 0;
	connection->counted_sent = 0;
	connection->counted_retransmitted = 0;
	connection->peer = opening->peer;
	connection->netns = opening->netns;
	connection->listener_service = opening->listener_service;
	connection->syn_verdict = TOA_VERDICT_PENDING;
	connection->unknown_kind = 0;
	connection->unknown_length = 0;
	/* the first sweep that finds an RTT takes a sample */
	connection->rtt_sampled = (opening->opened_ns >> RTT_SHIFT) - 2;
	connection->prefix_length = 0;
	connection->peername_family = 0;
	connection->local4 = opening->local4;
	connection->local_port = opening->local_port;
	/* otherwise the first sweep writes it */
	if (opening->flags & (CONN_SWEPT | CONN_FALLBACK))
		connection->srtt_us = 0;
}

/* Writes the hashes of a connection that has just opened in this slot. */
static __always_inline void write_hashes(__u32 slot, const struct opening *opening)
{
	struct hashes_at at = hashes_at(slot);

	if (!at.hashes)
		return;
	*(volatile __u32 *)&at.hashes->peer = peer_hash(&opening->peer, at.key);
	*(volatile __u32 *)&at.hashes->client =
		toa_has_client(opening->verdict) ? client_hash(&opening->client, opening->peer.port, at.key) :
						   0;
	*(volatile __u64 *)at.mark = change_mark(slot, opening->opened_ns, 0);
}

/*
 * Records how long a closed connection could be looked up, and how long it had its slot. Two CPUs at
 * once can lose one of their connections: this only says how large the table should be.
 */
static __always_inline void record_evicted(__u64 now, __u64 opened_ns, __u64 closed_ns)
{
	__u64 period = now >> EVICTED_SHIFT, age_ns = now > closed_ns ? now - closed_ns : 0;
	__u32 index = period % EVICTED_PERIODS;
	struct evicted *evicted = bpf_map_lookup_elem(&evicted_connections, &index);

	if (!evicted)
		return;
	if (evicted->period != period) {
		evicted->youngest_ns = age_ns;
		evicted->count = 0;
		evicted->held_ns = 0;
		evicted->period = period;
	}
	if (age_ns < evicted->youngest_ns)
		evicted->youngest_ns = age_ns;
	evicted->count += 1;
	evicted->held_ns += now - opened_ns;
}

enum claim { CLAIM_ALL_OPEN = 0, CLAIM_TAKEN = 1, CLAIM_AGAIN = 2 };

/*
 * Takes a slot that is not in use. The connection that was in it has been counted before
 * (reuse_slot()). Returns enum claim. CLAIM_AGAIN: another CPU took the slot, and there is another
 * one whose connection has closed.
 */
static __noinline int claim_slot(const struct opening *opening, __u64 retain_ns)
{
	struct connection *connection;
	__u64 cookie_before = 0, opened_ns = 0, closed_ns = 0;
	__u32 probe, slot;
	__u16 flags = 0;
	int result = CLAIM_ALL_OPEN;
	bool taken;
	__u8 state;

	for (probe = 0; probe < PROBES; probe++) {
		slot = slot_at(opening->cookie, probe);
		connection = connection_in(slot);
		if (!connection)
			continue;
		state = *(volatile __u8 *)&connection->state;
		if (state == SLOT_CLOSED)
			result = CLAIM_AGAIN;
		if (state == SLOT_OPEN || state == SLOT_CLOSED)
			continue;
		bpf_spin_lock(&connection->lock);
		taken = connection->state == SLOT_FREE || connection->state == SLOT_COUNTED;
		if (taken) {
			cookie_before = connection->cookie;
			opened_ns = connection->opened_ns;
			closed_ns = connection->closed_ns;
			flags = connection->flags;
			init_entry(connection, opening);
		}
		bpf_spin_unlock(&connection->lock);
		if (!taken)
			continue;
		write_hashes(slot, opening);
		if (cookie_before && flags & CONN_EXTRA)
			bpf_map_delete_elem(&extras, &cookie_before);
		if (cookie_before && closed_ns + retain_ns > opening->opened_ns) {
			count_drop(DROP_CONNECTION_EVICTED);
			record_evicted(opening->opened_ns, opened_ns, closed_ns);
		}
		return CLAIM_TAKEN;
	}
	return result;
}

/*
 * Stores a connection in its socket's storage, because its slots are all taken by open connections
 * or because kernel memory cannot be read. Returns 0 if there is no memory.
 */
static __noinline int store_in_socket(struct bpf_sock *sk, struct opening *opening)
{
	struct connection *connection = bpf_sk_storage_get(&fallback, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!connection)
		return 0;
	if (cfg.kernel_reads)
		count_drop(DROP_CONNECTIONS_FULL);
	opening->flags |= CONN_FALLBACK;
	init_entry(connection, opening);
	return 1;
}

/* Stores what the connection's entry has no room for. If there is no memory, lookups show less. */
static __noinline int set_extra(struct connection *connection, __u64 cookie, const struct sock_common *sk,
				const struct toa_virtual *virtual_server)
{
	struct extra extra = {};

	local_endpoint(sk, &extra.local);
	if (virtual_server)
		extra.virtual_server = *virtual_server;
	if (bpf_map_update_elem(&extras, &cookie, &extra, BPF_ANY)) {
		count_drop(DROP_ANSWERS);
		return 0;
	}
	bpf_spin_lock(&connection->lock);
	if (connection->cookie == cookie)
		connection->flags |= CONN_EXTRA;
	bpf_spin_unlock(&connection->lock);
	return 0;
}

#endif
