/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MPTCP: the application has one socket, and the kernel a TCP socket (subflow) for each path. The first path is the
 * connection; further ones carry its bytes and are no connections of their own. The application asks its own socket for the
 * client, so that is kept there as well. What is kept there also tells a further path from a first one.
 */
#ifndef TOASCOPE_MPTCP_H
#define TOASCOPE_MPTCP_H

#include "account.h"
#include "places.h"

/* include/uapi/linux/in.h */
#define IPPROTO_MPTCP 262

/* Set before loading, by probe: bpf_skc_to_mptcp_sock() in sockops programs. Elsewhere each path is a connection. */
extern const volatile bool mptcp_helpers;

/* The application's socket, where this one is a path of it. */
static __always_inline struct mptcp_sock *mptcp_of(struct bpf_sock *sk)
{
	return mptcp_helpers ? bpf_skc_to_mptcp_sock(sk) : 0;
}

/* Once the first path has its verdict, or is known to have a client before it. */
static __always_inline void share_client(struct bpf_sock *sk, const struct socket_state *state, __u64 create)
{
	struct mptcp_sock *msk = mptcp_of(sk);
	struct mptcp_state *shared;

	if (!msk)
		return;
	shared = bpf_sk_storage_get(&mptcp_states, msk, 0, create);
	if (!shared) {
		if (create)
			count_drop(DROP_SOCKET_STORAGE);
		return;
	}
	shared->listener = state->listener;
	shared->listener_service = state->listener_service;
	if (!client_known(state))
		return;
	shared->client = state->client;
	asm volatile("" ::: "memory");
	shared->known = 1;
}

/* A further path. Its bytes are those of the connection's client, in the connection's listener. */
static __always_inline void open_path(struct subject *on, const struct mptcp_state *shared)
{
	struct socket_state *state = on->state;

	state->joined = 1;
	state->place = NO_PLACE;
	state->seen = SEEN_UNSEEN;
	state->listener = shared->listener;
	state->listener_service = shared->listener_service;
	state->verdict = shared->known ? VERDICT_TOA : VERDICT_NONE;
	state->client = shared->client;
	state->opened_ns = on->now;
}

/* The client that the application of a socket may be shown, or 0. `state` is that of the socket, or 0. */
static __always_inline struct toa_client *known_client(struct bpf_sock *sk, struct socket_state *state)
{
	struct mptcp_state *shared;

	if (state)
		return client_known(state) ? &state->client : 0;
	if (sk->protocol != IPPROTO_MPTCP)
		return 0;
	shared = bpf_sk_storage_get(&mptcp_states, sk, 0, 0);
	return shared && shared->known ? &shared->client : 0;
}

#endif
