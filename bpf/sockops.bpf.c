// SPDX-License-Identifier: GPL-2.0-only
/* The callbacks of TCP sockets: a connection opens, an option arrives, a connection closes. */
#include "handshake.h"
#include "lifetime.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * The three below are global functions: each is verified by itself, with its paths not
 * multiplied by the callers'. So they may take the context alone, and find the rest anew.
 */
static __always_inline struct tcp_sock *begin(struct bpf_sock *sk, struct subject *on)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	on->set = current_settings();
	if (!tcp || !on->set)
		return 0;
	on->sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	on->now = bpf_ktime_get_ns();
	return find_listener(on) ? tcp : 0;
}

static __always_inline void open_table_entry(struct subject *on)
{
	struct connection *connection;
	struct endpoint peer;

	peer_endpoint(on->sk, &peer);
	on->state->slot = insert_connection(&peer);
	connection = table_entry(on);
	if (!connection)
		return;
	connection->peer = peer;
	local_endpoint(on->sk, &connection->local);
	connection->netns = on->state->netns;
	connection->opened_ns = on->now;
	connection->cookie = on->state->cookie;
}

__noinline int open_connection(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct socket_state *state;
	struct subject on = {};

	if (!sk || !begin(sk, &on))
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state) {
		count_drop(DROP_SOCKET_STORAGE);
		return 0;
	}
	on.state = state;
	state->netns = on.sk->skc_net.net->ns.inum;
	state->cookie = bpf_get_socket_cookie(ctx);
	open_table_entry(&on);
	add(on.listener->total.opened, 1);
	state->opened_ns = on.now;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return 0;
}

/* A segment that may carry the option: the one that made the socket, or one of the next. */
__noinline int segment_arrived(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct subject on = {};
	struct tcp_sock *tcp;
	int found;

	if (!sk)
		return 0;
	on.state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!on.state || !on.state->opened_ns)
		return 0;
	if (on.state->verdict != VERDICT_PENDING) {
		stop_options(ctx, on.state);
		return 0;
	}
	tcp = begin(sk, &on);
	if (!tcp)
		return 0;
	find_connection(&on);
	if (tcp->bytes_received) {
		settle(&on, verdict_without_option(on.state), SEGMENT_NONE);
		stop_options(ctx, on.state);
		return 0;
	}
	found = parse_options(ctx);
	if (found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT) {
		settle(&on, judge(&on, found), segment_kind(ctx));
		stop_options(ctx, on.state);
		return 0;
	}
	if (found == TOA_FOUND_MALFORMED)
		on.state->saw_malformed = 1;
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		ask_for_options(ctx, on.state);
	return 0;
}

__noinline int state_changed(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	bool closing = ctx->args[1] == BPF_TCP_CLOSE;
	struct subject on = {};
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	on.state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!on.state || !on.state->opened_ns || (on.state->seen && !closing))
		return 0;
	tcp = begin(sk, &on);
	if (!tcp)
		return 0;
	find_connection(&on);
	if (closing)
		close_connection(tcp, &on, ctx->args[0]);
	else
		note_unseen(tcp, &on);
	return 0;
}

SEC("sockops")
int toascope_sockops(struct bpf_sock_ops *ctx)
{
	const struct settings *set;

	switch (ctx->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		set = current_settings();
		if (set && port_watched(set, ctx->local_port)) {
			open_connection(ctx);
			segment_arrived(ctx);
		}
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		segment_arrived(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		state_changed(ctx);
		break;
	}
	return 1;
}
