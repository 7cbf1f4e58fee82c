/* SPDX-License-Identifier: GPL-2.0-only */
/* Handles segments until the verdict is decided. */
#ifndef TOASCOPE_SEGMENTS_H
#define TOASCOPE_SEGMENTS_H

#include "close.h"
#include "module_verdict.h"
#include "mptcp_subflows.h"
#include "parse.h"
#include "storage.h"

/*
 * Stores the answers by use and the virtual server, once the segment has been parsed for them.
 * Whether answers are by use is decided when the connection opens: a reload changes nothing for a
 * connection that was accepted.
 */
__noinline int store_answers(struct bpf_sock_ops *ctx)
{
	bool opening = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	struct socket_answers *stored;
	struct tcp_sock *tcp;

	if (!sk || !set)
		return 0;
	stored = bpf_sk_storage_get(&answers, sk, 0, 0);
	connection = find_connection(sk, cookie);
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!stored || !connection || !tcp) {
		if (opening && !stored)
			count_drop(DROP_ANSWERS);
		return 0;
	}
	if (opening && set->split_uses)
		stored->by_use = 1;
	if (stored->by_use) {
		bpf_spin_lock(&connection->lock);
		if (connection->cookie == cookie)
			connection->peername_family = stored->client[ANSWER_PEERNAME].family;
		bpf_spin_unlock(&connection->lock);
	}
	if (!stored->virtual_server.family || stored->virtual_known ||
	    !peer_trusted(set, &tcp->inet_conn.icsk_inet.sk.__sk_common))
		return 0;
	set_extra(connection, cookie, &tcp->inet_conn.icsk_inet.sk.__sk_common, &stored->virtual_server);
	asm volatile("" ::: "memory");
	stored->virtual_known = 1;
	return 0;
}

/*
 * Handles the option on the SYN: its client is known from now on, and its verdict applies unless a
 * later segment has an option.
 */
__noinline int syn_arrived(struct bpf_sock_ops *ctx)
{
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	int found = parse_syn(ctx, TOA_USE_ALL);
	const struct sock_common *common;
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp;
	__u8 verdict;

	if (!sk || !set || !toa_names_client(found))
		return 0;
	connection = find_connection(sk, cookie);
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!connection || !tcp)
		return 0;
	common = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	verdict = toa_verdict_of(found, peer_trusted(set, common));
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie))
		connection->syn_verdict = verdict;
	bpf_spin_unlock(&connection->lock);
	return 0;
}

/*
 * Reads the segment's list. decision->verdict stays TOA_VERDICT_PENDING if the list decides
 * nothing.
 */
static __always_inline void read_list(struct bpf_sock_ops *ctx, const struct settings *set,
				      const struct sock_common *common, struct connection *connection,
				      __u64 cookie, struct decision *decision)
{
	int found = fast_parse_and_store(ctx, set, connection, cookie);

	if (found < 0)
		found = parse_segment(ctx, TOA_USE_ALL);
	if (set->split_uses) {
		parse_segment(ctx, TOA_USE_SOCKOPT);
		parse_segment(ctx, TOA_USE_PEERNAME);
	}
	if (set->split_uses || set->virtual_servers)
		store_answers(ctx);
	if (found == TOA_FOUND_ON_SYN) {
		decision->verdict = connection->syn_verdict;
		decision->segment = TOA_SEGMENT_SYN;
	} else if (toa_names_client(found)) {
		decision->verdict = toa_verdict_of(found, peer_trusted(set, common));
		decision->segment = segment_kind(ctx);
	}
}

/*
 * Requests callbacks for the segments to come. Other programs can use them as well, so only what
 * toascope requested is dropped later.
 */
static __always_inline void request_option_callbacks(struct bpf_sock_ops *ctx, struct connection *connection,
						     __u64 cookie)
{
	__u32 flags = ctx->bpf_sock_ops_cb_flags;

	if (flags & BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG)
		return;
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie))
		connection->flags |= CONN_OPTION_CALLBACKS;
	bpf_spin_unlock(&connection->lock);
	bpf_sock_ops_cb_flags_set(ctx, flags | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

static __always_inline void drop_option_callbacks(struct bpf_sock_ops *ctx, struct connection *connection,
						  __u64 cookie)
{
	bool ours;

	/* no lock: the entry is this socket's, and no other program changes this flag */
	if (!(connection->flags & CONN_OPTION_CALLBACKS))
		return;
	bpf_spin_lock(&connection->lock);
	ours = connection->cookie == cookie && connection->flags & CONN_OPTION_CALLBACKS;
	if (ours)
		connection->flags &= ~CONN_OPTION_CALLBACKS;
	bpf_spin_unlock(&connection->lock);
	if (ours)
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags &
						       ~BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

/*
 * Handles a segment while the verdict is pending: the one that created the socket, or one after it.
 * Returns bits of enum to_do.
 */
__noinline int segment_arrived(struct bpf_sock_ops *ctx)
{
	bool opening = ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	const struct sock_common *common;
	struct decision decision = {};
	struct tcp_sock *tcp;
	bool decided;

	if (!sk || !set)
		return 0;
	connection = find_connection(sk, cookie);
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!connection || !connection->socket || !tcp)
		return 0;
	common = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	if (connection->verdict == TOA_VERDICT_PENDING) {
		if (cfg.from_module)
			take_module_verdict(tcp, connection, cookie, &decision);
		else if (opening || (!tcp->bytes_received && acceptable_ack(ctx, tcp)))
			read_list(ctx, set, common, connection, cookie, &decision);
		decided = decision.verdict != TOA_VERDICT_PENDING || (tcp->bytes_received && !opening);
		if (decided && decision.verdict == TOA_VERDICT_PENDING)
			decision.flags = flags_without_option(set, tcp);
		if (decided) {
			decision.is_hidden = client_hidden(set, common, connection);
			record_verdict(connection, cookie, &decision);
		}
		if (is_subflow(tcp)) {
			share_answers(ctx, set);
			share_client(ctx, connection, opening ? BPF_SK_STORAGE_GET_F_CREATE : 0);
		}
		if (!decided) {
			if (opening)
				request_option_callbacks(ctx, connection, cookie);
			return 0;
		}
	}
	drop_option_callbacks(ctx, connection, cookie);
	return storage_work(connection);
}

#endif
