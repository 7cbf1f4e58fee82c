/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MPTCP: the application has one socket, and the kernel has a TCP socket (subflow) for each path.
 * The first subflow is the connection; additional ones carry its bytes and are not connections of
 * their own. The application asks its own socket for the client, so the client is stored there as
 * well. What is stored there also distinguishes an additional subflow from a first one.
 */
#ifndef TOASCOPE_MPTCP_H
#define TOASCOPE_MPTCP_H

#include "answers.h"
#include "sums.h"

/*
 * Copies the client that the application of a socket can be shown. A client from the SYN is known
 * before the verdict, because accept() returns before the first data. The lock keeps a socket that
 * has closed from reading the client of the connection that has its slot now.
 */
static __always_inline bool copy_client(struct connection *connection, __u64 cookie, struct toa_client *to)
{
	bool known;

	bpf_spin_lock(&connection->lock);
	known = connection->cookie == cookie && connection->socket &&
		(toa_has_client(connection->verdict) ||
		 (connection->verdict == TOA_VERDICT_PENDING && toa_has_client(connection->syn_verdict)));
	*to = connection->client;
	bpf_spin_unlock(&connection->lock);
	return known;
}

static __always_inline bool copy_socket_client(struct bpf_sock *sk, struct connection *connection,
					       __u64 cookie, struct toa_client *to)
{
	struct mptcp_state *shared;

	if (connection)
		return copy_client(connection,
				   connection->flags & CONN_FALLBACK ? connection->cookie : cookie, to);
	if (sk->protocol != IPPROTO_MPTCP)
		return false;
	shared = bpf_sk_storage_get(&mptcp_states, sk, 0, 0);
	if (!shared || !shared->known)
		return false;
	*to = shared->client;
	return true;
}

/*
 * Copies the client that the application of a socket can be shown for `answer` (enum answer). A
 * connection that opened while profiles did not differ in their uses has one client, which serves
 * the uses of its profile.
 */
static __always_inline bool copy_client_for(const struct settings *set, struct bpf_sock *sk,
					    struct connection *connection, __u64 cookie, __u32 answer,
					    struct toa_client *to)
{
	struct socket_answers *stored;

	if (!copy_socket_client(sk, connection, cookie, to))
		return false;
	if (!set->split_uses)
		return true;
	stored = bpf_sk_storage_get(&answers, sk, 0, 0);
	if (stored && stored->by_use) {
		*to = stored->client[answer];
		return to->family;
	}
	/* bit `answer` is TOA_USE_SOCKOPT or TOA_USE_PEERNAME */
	return set->table.uses[to->profile & (TOA_PROFILE_SLOTS - 1)] >> answer & 1;
}

#endif
