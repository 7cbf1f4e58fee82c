// SPDX-License-Identifier: GPL-2.0-only
/* The callbacks of TCP sockets: a connection opens, an option arrives, a connection closes. */
#include "listen.h"
#include "passive_established.h"
#include "segments.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct cfg cfg = {
	.connection_slots = 65536,
	.listener_slots = 256,
	.listener_rows = 1,
	.prefix_slots = 131072,
	.transparent_bit = 15,
	.can_set_error = true,
	.mptcp_helpers = true,
	.task_helpers = true,
	.kernel_reads = true,
	.tracing_locks = true,
};

/*
 * The functions below that take the context are global: each is verified by itself, and its paths
 * are not multiplied by those of its callers. So the context is the only pointer that they can
 * take, and they look up everything else again.
 */

/* Decides the verdict when the connection closes, if it is still pending. */
static __noinline int decide_at_close(const struct tcp_sock *tcp, struct connection *connection, __u64 cookie)
{
	const struct sock_common *common = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	const struct settings *set = current_settings();
	struct decision decision = {};

	if (!set)
		return 0;
	if (cfg.from_module)
		take_module_verdict(tcp, connection, cookie, &decision);
	if (decision.verdict == TOA_VERDICT_PENDING)
		decision.flags = flags_without_option(set, tcp);
	decision.is_hidden = client_hidden(set, common, connection);
	record_verdict(connection, cookie, &decision);
	return 0;
}

/* Returns bits of enum to_do. */
__noinline int state_changed(struct bpf_sock_ops *ctx)
{
	bool closing = ctx->args[1] == BPF_TCP_CLOSE;
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	int before = ctx->args[0];
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	connection = find_connection(sk, cookie);
	if (!connection || !connection->socket || connection->state != SLOT_OPEN ||
	    (connection->accept_kind && !closing))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	if (!closing) {
		if (tcp->inet_conn.icsk_inet.sk.sk_socket && set && !set->no_accepts)
			record_unobserved_accept(connection, cookie);
		return 0;
	}
	if (connection->verdict == TOA_VERDICT_PENDING)
		decide_at_close(tcp, connection, cookie);
	close_connection(tcp, connection, cookie, before);
	return storage_work(connection);
}

/*
 * Called when a socket connects or listens. If it was accepted before, and disconnected, it no
 * longer has a client. Its cookie is read, because the helper would assign one to every socket that
 * connects, and each would leave a hole in the table.
 */
__noinline int forget_connection(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	struct mptcp_sock *msk = mptcp_of(ctx);
	struct connection *connection;
	__u64 cookie;

	if (!sk || !tcp)
		return 0;
	cookie = tcp->inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter;
	connection = cookie && cfg.kernel_reads ? find_in_table(cookie) : 0;
	if (connection) {
		bpf_spin_lock(&connection->lock);
		if (connection->cookie == cookie)
			connection->socket = 0;
		bpf_spin_unlock(&connection->lock);
	}
	bpf_sk_storage_delete(&fallback, sk);
	bpf_sk_storage_delete(&answers, sk);
	if (msk) {
		bpf_sk_storage_delete(&mptcp_states, msk);
		bpf_sk_storage_delete(&answers, msk);
	}
	return 0;
}

SEC("sockops")
int toascope_sockops(struct bpf_sock_ops *ctx)
{
	const struct settings *set;
	__u32 from, to, to_do = 0;
	__u64 cookie;

	switch (ctx->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		set = current_settings();
		if (!set || !port_watched(set, ctx->local_port))
			break;
		cookie = bpf_get_socket_cookie(ctx);
		if (cfg.kernel_reads)
			reuse_slot(cookie);
		to_do = connection_opened(ctx, cookie, 0);
		if (to_do & OPEN_AGAIN) {
			reuse_slot(cookie);
			to_do = connection_opened(ctx, cookie, 1);
		}
		if (!(to_do & READ_OPTIONS))
			break;
		if (!cfg.from_module && set->read_syn) {
			syn_arrived(ctx);
			if (set->split_uses) {
				parse_syn(ctx, TOA_USE_SOCKOPT);
				parse_syn(ctx, TOA_USE_PEERNAME);
			}
		}
		to_do |= segment_arrived(ctx);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		to_do = segment_arrived(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		/*
		 * Handles the end, and the moment when the accepting process closes its side; other
		 * changes carry no information. The peer's FIN (to CLOSE_WAIT) can arrive in the
		 * middle of accept(), before the program there has observed it.
		 */
		from = ctx->args[0];
		to = ctx->args[1];
		if (to == BPF_TCP_CLOSE ||
		    ((from == BPF_TCP_ESTABLISHED || from == BPF_TCP_CLOSE_WAIT) && to != BPF_TCP_CLOSE_WAIT))
			to_do = state_changed(ctx);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		forget_connection(ctx);
		save_syns(ctx);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		forget_connection(ctx);
		break;
	}
	if (to_do & COUNT_IN_STORAGE) {
		count_in_storage(ctx);
		count_closed_in_storage(ctx);
	}
	return 1;
}
