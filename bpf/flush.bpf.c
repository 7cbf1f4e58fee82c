// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the open connections; run by the daemon every few seconds. The first program goes by the sockets that have a state, in all
 * network namespaces at once. Some hardened kernels refuse iterators over the elements of maps: there the second one goes by
 * the TCP sockets of one network namespace after the other. Which one is loaded is decided by probe.
 */
#include "in_turn.h"

static __always_inline void flush_socket(struct tcp_sock *tcp, struct subject *on)
{
	on->sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	flush(tcp, on);
}

SEC("?iter/bpf_sk_storage_map")
int toascope_flush(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct subject on = { .set = current_settings(), .now = bpf_ktime_get_ns() };
	struct sock *sk = ctx->sk;
	struct tcp_sock *tcp;

	if (!sk || !on.set)
		return 0;
	on.state = tracing_locks ? bpf_sk_storage_get(&sockets, sk, 0, 0) : ctx->value;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (on.state && tcp)
		flush_socket(tcp, &on);
	return 0;
}

/* Needs what came with tracing_locks: socket storage in iterators. */
SEC("?iter/tcp")
int toascope_flush_netns(struct bpf_iter__tcp *ctx)
{
	struct subject on = { .set = current_settings(), .now = bpf_ktime_get_ns() };
	struct sock_common *sk = ctx->sk_common;
	struct tcp_sock *tcp;

	if (!sk || !on.set)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	on.state = bpf_sk_storage_get(&sockets, tcp, 0, 0);
	if (on.state)
		flush_socket(tcp, &on);
	return 0;
}
