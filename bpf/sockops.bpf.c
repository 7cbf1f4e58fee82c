// SPDX-License-Identifier: GPL-2.0-only
/* The callbacks of TCP sockets: a connection opens, an option arrives, a connection closes. */
#include "handshake.h"
#include "in_turn.h"
#include "mptcp_paths.h"

char LICENSE[] SEC("license") = "GPL";

/* announced.h */
const volatile bool from_module = false;

/* places.h */
const volatile __u32 connection_places = 65536;
const volatile __u32 listener_places_max = 256;

/* turns.h */
const volatile bool tracing_locks = true;

/* mptcp.h */
const volatile bool mptcp_helpers = true;

/* transparent.h */
const volatile __u32 transparent_bit = 15;

static __always_inline struct tcp_sock *begin(struct bpf_sock *sk, struct subject *on)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	on->set = current_settings();
	if (!tcp || !on->set)
		return 0;
	on->sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	on->now = bpf_ktime_get_ns();
	return tcp;
}

/* For those that find their state. */
static __always_inline struct tcp_sock *resume(struct bpf_sock *sk, struct subject *on)
{
	struct tcp_sock *tcp = begin(sk, on);

	if (!tcp || !take_listener(on))
		return 0;
	find_connection(on);
	return reaped(on) ? 0 : tcp;
}

/*
 * What else is answered of this segment's options. Whether by use is decided when the connection opens: a reload changes nothing of
 * one that has been accepted. Not inlined: the stack of those who call is full on 5.10. Returns 0: a function that the verifier follows
 * by itself returns a number.
 */
static __noinline int read_answers(struct bpf_sock_ops *ctx, struct subject *on)
{
	struct bpf_sock *sk = ctx->sk;
	struct socket_answers *made = sk ? bpf_sk_storage_get(&answers, sk, 0, 0) : 0;
	bool opening = !on->state->opened_ns;

	if (!made) {
		if (opening)
			count_drop(DROP_ANSWERS);
		return 0;
	}
	if (opening && on->set->split_uses)
		made->by_use = 1;
	if (made->by_use) {
		parse_options(ctx, TOA_USE_SOCKOPT);
		parse_options(ctx, TOA_USE_PEERNAME);
		on->state->peername_family = made->client[ANSWER_PEERNAME].family;
	}
	if (!made->virtual_server.family || made->virtual_known || !peer_trusted(on))
		return 0;
	if (on->connection)
		on->connection->virtual_server = made->virtual_server;
	asm volatile("" ::: "memory");
	made->virtual_known = 1;
	return 0;
}

/* The same for the SYN. */
static __noinline int read_syn(struct bpf_sock_ops *ctx, struct subject *on)
{
	on->state->syn_verdict = syn_verdict(on, parse_syn(ctx, TOA_USE_ALL));
	if (on->set->split_uses) {
		parse_syn(ctx, TOA_USE_SOCKOPT);
		parse_syn(ctx, TOA_USE_PEERNAME);
	}
	return 0;
}

/* The verdict falls where this segment has an option. */
static __always_inline bool read_verdict(struct bpf_sock_ops *ctx, const struct tcp_sock *tcp,
					 struct subject *on)
{
	__u8 verdict, segment;
	int found;

	if (from_module) {
		verdict = hear(tcp, on, &segment);
		if (verdict == VERDICT_PENDING)
			return false;
	} else {
		found = parse_options(ctx, TOA_USE_ALL);
		if (on->set->split_uses || on->set->virtual_servers)
			read_answers(ctx, on);
		if (!option_found(on, found))
			return false;
		verdict = found == FOUND_ON_SYN ? on->state->syn_verdict : judge(on, found);
		segment = found == FOUND_ON_SYN ? SEGMENT_SYN : segment_kind(ctx);
	}
	settle(on, verdict, segment);
	return true;
}

/*
 * The three below are global functions: each is verified by itself, with its paths not
 * multiplied by the callers'. So they may take the context alone, and find the rest anew.
 */

/* The segment that made the socket. */
__noinline int connection_opened(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct subject on = {};
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	tcp = begin(sk, &on);
	/*
	 * A SYN of its own was acknowledged: connect() made it, nobody listens, and its SYN met the peer's (RFC 9293,
	 * section 3.5, simultaneous open). Whom a host calls could else make listeners of its ports.
	 */
	if (!tcp || tcp->bytes_acked || !namespace_watched(on.set, on.sk))
		return 0;
	on.state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!on.state) {
		count_drop(DROP_SOCKET_STORAGE);
		return 0;
	}
	on.state->cookie = bpf_get_socket_cookie(ctx);
	if (!enter_listener_or_path(ctx, &on))
		return 0;
	add(on.listener->total.opened, 1);
	enter_connection(&on);
	if (!from_module && on.set->read_syn)
		read_syn(ctx, &on);
	read_verdict(ctx, tcp, &on);
	share_answers(ctx, &on);
	share_client(ctx, &on, BPF_SK_STORAGE_GET_F_CREATE);
	await_accept(&on);
	on.state->opened_ns = on.now;
	watch(ctx, on.state);
	return 0;
}

/* One of the segments after it, while the verdict has not fallen. */
__noinline int segment_arrived(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct subject on = {};
	struct tcp_sock *tcp;
	bool readable;

	if (!sk)
		return 0;
	on.state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!on.state || !on.state->opened_ns)
		return 0;
	if (on.state->verdict == VERDICT_PENDING && !on.state->wished) {
		tcp = resume(sk, &on);
		if (!tcp)
			return 0;
		readable = from_module || (!tcp->bytes_received && acceptable_ack(ctx, tcp));
		if (!readable || !read_verdict(ctx, tcp, &on)) {
			if (!tcp->bytes_received)
				return 0;
			on.data = tcp->bytes_received > fin_received(tcp);
			settle_without_option(&on);
		}
		share_answers(ctx, &on);
		share_client(ctx, &on, 0);
	}
	stop_options(ctx, on.state);
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
	tcp = resume(sk, &on);
	if (!tcp)
		return 0;
	if (closing) {
		if (from_module && on.state->verdict == VERDICT_PENDING)
			read_verdict(ctx, tcp, &on);
		close_connection(tcp, &on, ctx->args[0]);
	} else {
		note_unseen(tcp, &on, false);
	}
	return 0;
}

SEC("sockops")
int toascope_sockops(struct bpf_sock_ops *ctx)
{
	const struct settings *set;
	struct bpf_sock *sk = ctx->sk;
	__u32 from, to;

	switch (ctx->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		set = current_settings();
		if (set && port_watched(set, ctx->local_port))
			connection_opened(ctx);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		segment_arrived(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		/*
		 * It ends, or the process that accepted it lets go of it; the other changes tell nothing. The peer's
		 * FIN (to CLOSE_WAIT) may come in the middle of accept(), before the program there has seen it.
		 */
		from = ctx->args[0];
		to = ctx->args[1];
		if (to == BPF_TCP_CLOSE ||
		    ((from == BPF_TCP_ESTABLISHED || from == BPF_TCP_CLOSE_WAIT) && to != BPF_TCP_CLOSE_WAIT))
			state_changed(ctx);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		keep_syns(ctx);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		/* a socket that was accepted once, and is used for a connection of its own now */
		if (sk) {
			bpf_sk_storage_delete(&sockets, sk);
			bpf_sk_storage_delete(&answers, sk);
		}
		break;
	}
	return 1;
}
