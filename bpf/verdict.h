/* SPDX-License-Identifier: GPL-2.0-only */
/* The verdict on a connection, which is decided once. */
#ifndef TOASCOPE_VERDICT_H
#define TOASCOPE_VERDICT_H

#include "add_sums.h"
#include "emit.h"
#include "hashes.h"

/*
 * What is known when the verdict is decided. If the verdict has a client, that is already in the
 * entry. TOA_VERDICT_PENDING: no segment after the SYN had an option, so the entry decides
 * (toa_verdict_without_option()).
 */
struct decision {
	__u8 verdict;
	__u8 segment;
	bool is_hidden; /* CONN_HIDDEN, if the verdict has a client */
	__u16 flags;    /* CONN_TRUSTED and CONN_DATA: details of TOA_VERDICT_NONE */
};

/*
 * Counts an unknown option on one connection of a trusted peer. It shows an operator what arrives
 * instead of TOA. There are few entries, and only trusted peers can use them up.
 */
static __always_inline void count_unknown(__u8 kind, __u8 length)
{
	struct unknown_option key = { .kind = kind, .length = length };
	__u64 none = 0, *count;

	if (!kind)
		return;
	count = bpf_map_lookup_elem(&unknown_options, &key);
	if (!count) {
		bpf_map_update_elem(&unknown_options, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&unknown_options, &key);
	}
	if (count)
		add(*count, 1);
	else
		count_drop(DROP_UNKNOWN_OPTIONS_FULL);
}

/*
 * Returns whether the client is hidden. accept() and getpeername() show it, unless it is IPv6 and
 * the socket's addresses are IPv4.
 */
static __always_inline bool hidden_by_family(const struct settings *set, __u16 socket_family,
					     __u16 local_port, const struct toa_client *client,
					     __u8 peername_family)
{
	bool is_shown = !set->split_uses ||
			set->table.uses[client->profile & (TOA_PROFILE_SLOTS - 1)] & TOA_USE_PEERNAME;
	__u8 family = peername_family ?: is_shown ? client->family : FAMILY_NONE;

	return family == FAMILY_IPV6 && socket_family == AF_INET && set->transparent &&
	       port_transparent(set, local_port);
}

/* Returns the same for the connection of a callback. */
static __always_inline bool client_hidden(const struct settings *set, const struct sock_common *sk,
					  const struct connection *connection)
{
	return hidden_by_family(set, sk->skc_family, sk->skc_num, &connection->client,
				connection->peername_family);
}

/* The caller holds the entry's lock. */
static __always_inline void decide_without_option(struct connection *connection)
{
	connection->verdict = toa_verdict_without_option(
		connection->syn_verdict, connection->flags & CONN_MALFORMED, &connection->segment);
}

/*
 * Writes the verdict into the entry, if the entry is still the connection's and has none. A sweep
 * or the close counts it. Returns the verdict; 0 if it was already decided.
 */
static __noinline int record_verdict(struct connection *connection, __u64 cookie,
				     const struct decision *decision)
{
	const struct settings *set = current_settings();
	__u8 verdict = TOA_VERDICT_PENDING, kind, length;
	struct sample_facts facts = {};
	struct hashes_at at = hashes_at(slot_of(cookie));
	struct reserved_event reserved;

	if (!set)
		return 0;
	reserved = reserve_event(set, connection, cookie, EVENT_OPENED, &facts);
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie) && connection->socket && connection->verdict == TOA_VERDICT_PENDING) {
		if (decision->verdict == TOA_VERDICT_PENDING) {
			decide_without_option(connection);
		} else {
			connection->segment = decision->segment;
			connection->verdict = decision->verdict;
		}
		verdict = connection->verdict;
		connection->flags |=
			decision->flags | (decision->is_hidden && toa_has_client(verdict) ? CONN_HIDDEN : 0);
		if (toa_has_client(verdict))
			write_client_hash(&at, connection);
		copy_to_event(&reserved, connection);
	}
	kind = connection->unknown_kind;
	length = connection->unknown_length;
	bpf_spin_unlock(&connection->lock);
	finish_event(&reserved, verdict != TOA_VERDICT_PENDING);
	if (verdict == TOA_VERDICT_NONE && decision->flags & CONN_TRUSTED)
		count_unknown(kind, length);
	return verdict;
}

/* Not inlined, to keep its stack frame out of its caller's: a chain of calls has 512 bytes. */
static __noinline int peer_trusted(const struct settings *set, const struct sock_common *sk)
{
	struct endpoint peer;

	peer_endpoint(sk, &peer);
	return trusted(set, &peer);
}

#endif
