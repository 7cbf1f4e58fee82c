/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handles the subflows of an MPTCP connection as they open (mptcp.h). What the application's socket
 * stores distinguishes an additional subflow from the first one. If sockops programs lack
 * bpf_skc_to_mptcp_sock(), each subflow is a connection.
 */
#ifndef TOASCOPE_MPTCP_SUBFLOWS_H
#define TOASCOPE_MPTCP_SUBFLOWS_H

#include "claim_slot.h"

/*
 * Returns whether the socket is a subflow of an MPTCP connection. Most are not, and skip the
 * helper.
 */
static __always_inline bool is_subflow(const struct tcp_sock *tcp)
{
	return cfg.mptcp_helpers && bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp;
}

/* Returns the application's socket if this one is a subflow of it. */
static __always_inline struct mptcp_sock *mptcp_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = cfg.mptcp_helpers ? ctx->sk : 0;

	return sk ? bpf_skc_to_mptcp_sock(sk) : 0;
}

/* Copies the answers to the application's socket, which is the one that the application asks. */
static __noinline int share_answers(struct bpf_sock_ops *ctx, const struct settings *set)
{
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct socket_answers *from, *to;

	if (!msk || !sk || !(set->split_uses || set->virtual_servers))
		return 0;
	from = bpf_sk_storage_get(&answers, sk, 0, 0);
	to = from ? bpf_sk_storage_get(&answers, msk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	if (to)
		*to = *from;
	else if (from)
		count_drop(DROP_ANSWERS);
	return 0;
}

/*
 * Copies the client to the application's socket, once the first subflow has its verdict or is known
 * to have a client before that. Not inlined, to keep its stack frame out of its caller's: a chain
 * of calls has 512 bytes.
 */
static __noinline int share_client(struct bpf_sock_ops *ctx, struct connection *connection, __u64 create)
{
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct mptcp_state *shared;
	struct toa_client client;

	if (!msk)
		return 0;
	shared = bpf_sk_storage_get(&mptcp_states, msk, 0, create);
	if (!shared) {
		if (create)
			count_drop(DROP_SOCKET_STORAGE);
		return 0;
	}
	shared->listener = connection->listener;
	shared->listener_service = connection->listener_service;
	if (!copy_client(connection, connection->cookie, &client))
		return 0;
	shared->client = client;
	asm volatile("" ::: "memory");
	shared->known = 1;
	return 0;
}

/*
 * Returns whether it is an additional subflow. Its bytes count for the connection's client and
 * listener; nothing else of it is counted. Not inlined, to keep its stack frame out of its
 * caller's: a chain of calls has 512 bytes.
 */
static __noinline int join_subflow(struct bpf_sock_ops *ctx, struct opening *opening)
{
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct mptcp_state *shared = msk ? bpf_sk_storage_get(&mptcp_states, msk, 0, 0) : 0;

	if (!shared)
		return 0;
	opening->flags = CONN_JOINED | CONN_SWEPT | CONN_ATTRIBUTED | CONN_ACCEPT_COUNTED;
	opening->listener = shared->listener;
	opening->listener_service = shared->listener_service;
	opening->verdict = shared->known ? TOA_VERDICT_TOA : TOA_VERDICT_NONE;
	opening->client = shared->client;
	return 1;
}

#endif
