/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The paths of an MPTCP connection, as they open (mptcp.h). What the application's socket keeps tells a further path from the
 * first one. Without bpf_skc_to_mptcp_sock() in sockops programs each path is a connection.
 */
#ifndef TOASCOPE_MPTCP_PATHS_H
#define TOASCOPE_MPTCP_PATHS_H

#include "handshake.h"
#include "mptcp.h"

/* The application's socket, where this one is a path of it. */
static __always_inline struct mptcp_sock *mptcp_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = mptcp_helpers ? ctx->sk : 0;

	return sk ? bpf_skc_to_mptcp_sock(sk) : 0;
}

/* The application asks its own socket. */
static __noinline int share_answers(struct bpf_sock_ops *ctx, const struct subject *on)
{
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct socket_answers *from, *to;

	if (!msk || !sk || !(on->set->split_uses || on->set->virtual_servers))
		return 0;
	from = bpf_sk_storage_get(&answers, sk, 0, 0);
	to = from ? bpf_sk_storage_get(&answers, msk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	if (to)
		*to = *from;
	else if (from)
		count_drop(DROP_ANSWERS);
	return 0;
}

/* Once the first path has its verdict, or is known to have a client before it. */
static __noinline int share_client(struct bpf_sock_ops *ctx, const struct subject *on, __u64 create)
{
	const struct socket_state *state = on->state;
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct mptcp_state *shared;

	if (!msk)
		return 0;
	shared = bpf_sk_storage_get(&mptcp_states, msk, 0, create);
	if (!shared) {
		if (create)
			count_drop(DROP_SOCKET_STORAGE);
		return 0;
	}
	shared->listener = state->listener;
	shared->listener_service = state->listener_service;
	if (!client_known(state))
		return 0;
	shared->client = state->client;
	asm volatile("" ::: "memory");
	shared->known = 1;
	return 0;
}

/* Is it a further path? Its bytes are those of the connection's client, in the connection's listener. */
static __always_inline bool open_path(struct bpf_sock_ops *ctx, struct socket_state *state, __u64 now)
{
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct mptcp_state *shared = msk ? bpf_sk_storage_get(&mptcp_states, msk, 0, 0) : 0;

	if (!shared)
		return false;
	state->joined = 1;
	state->place = NO_PLACE;
	state->seen = SEEN_UNSEEN;
	state->listener = shared->listener;
	state->listener_service = shared->listener_service;
	state->verdict = shared->known ? VERDICT_TOA : VERDICT_NONE;
	state->client = shared->client;
	state->opened_ns = now;
	return true;
}

/*
 * A new connection finds its listener. False: it has none, or is a further path of another one. Not inlined, as
 * share_client(): the stack of those who call is full on 5.10.
 */
static __noinline int enter_listener_or_path(struct bpf_sock_ops *ctx, struct subject *on)
{
	if (open_path(ctx, on->state, on->now)) {
		watch(ctx, on->state);
		return 0;
	}
	enter_at_listener(on->sk, on->state, on->now);
	return take_listener(on);
}

#endif
