// SPDX-License-Identifier: GPL-2.0-only
/*
 * The companion program on accept, where the kernel allows trampolines. The parameters of
 * inet_csk_accept() changed in 6.10, and with them where its result stands: the loader takes
 * the program that fits the running kernel's BTF.
 */
#include "accept.h"

static __always_inline int accepted_socket(struct sock *sk)
{
	struct socket_state *state;
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (state)
		accepted(&tcp->inet_conn.icsk_inet.sk.__sk_common, state, SEEN_FEXIT);
	return 0;
}

/* struct sock *inet_csk_accept(struct sock *, struct proto_accept_arg *) */
SEC("?fexit/inet_csk_accept")
int toascope_accept(__u64 *ctx)
{
	return accepted_socket((struct sock *)ctx[2]);
}

/* struct sock *inet_csk_accept(struct sock *, int, int *, bool), before 6.10 */
SEC("?fexit/inet_csk_accept")
int toascope_accept4(__u64 *ctx)
{
	return accepted_socket((struct sock *)ctx[4]);
}
