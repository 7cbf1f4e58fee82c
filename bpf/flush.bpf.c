// SPDX-License-Identifier: GPL-2.0-only
/* Walks the open connections of all network namespaces; run by the daemon every few seconds. */
#include "in_turn.h"

SEC("iter/bpf_sk_storage_map")
int toascope_flush(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct subject on = { .set = current_settings(), .now = bpf_ktime_get_ns() };
	struct sock *sk = ctx->sk;
	struct tcp_sock *tcp;

	if (!sk || !on.set)
		return 0;
	on.state = tracing_locks ? bpf_sk_storage_get(&sockets, sk, 0, 0) : ctx->value;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!on.state || !tcp)
		return 0;
	on.sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	flush(tcp, &on);
	return 0;
}
