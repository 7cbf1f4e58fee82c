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

/* The client of a socket, or 0. `state` is that of the socket, or 0. */
static __always_inline struct toa_client *client_of(struct bpf_sock *sk, struct socket_state *state)
{
	struct mptcp_state *shared;

	if (state)
		return client_known(state) ? &state->client : 0;
	if (sk->protocol != IPPROTO_MPTCP)
		return 0;
	shared = bpf_sk_storage_get(&mptcp_states, sk, 0, 0);
	return shared && shared->known ? &shared->client : 0;
}

/*
 * The client that the application of a socket may be shown, or 0. `answer`: enum answer. A connection that opened when
 * profiles did not differ in their uses has one client, which counts for the uses of its profile.
 */
static __always_inline struct toa_client *known_client(const struct settings *set, struct bpf_sock *sk,
						       struct socket_state *state, __u32 answer)
{
	struct toa_client *client = client_of(sk, state);
	struct socket_answers *made;

	if (!client || !set->split_uses)
		return client;
	made = bpf_sk_storage_get(&answers, sk, 0, 0);
	if (made && made->by_use)
		return made->client[answer].family ? &made->client[answer] : 0;
	/* TOA_USE_SOCKOPT, TOA_USE_PEERNAME */
	return set->table.uses[client->profile & (TOA_PROFILE_SLOTS - 1)] >> answer & 1 ? client : 0;
}

/* Is it a connection that came to a listener? Storage may outlive it: a socket can be used again. */
static __always_inline bool is_accepted(struct bpf_sock *sk)
{
	if (bpf_sk_storage_get(&sockets, sk, 0, 0))
		return true;
	return sk->protocol == IPPROTO_MPTCP && bpf_sk_storage_get(&mptcp_states, sk, 0, 0);
}

#endif
