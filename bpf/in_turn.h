/* SPDX-License-Identifier: GPL-2.0-only */
/* What changes a connection's sums, or its verdict: under the state's lock, else in turn (turns.h). */
#ifndef TOASCOPE_IN_TURN_H
#define TOASCOPE_IN_TURN_H

#include "lifetime.h"

/* Not inlined: the verifier adds up the stack of those that call each other. */
static __noinline int end_connection(struct subject *on, const struct progress *last)
{
	count_close(on, last);
	return 0;
}

/* For who has the turn. */
static __noinline int grant_wishes(struct subject *on)
{
	struct wish_key key = { .cookie = on->state->cookie, .kind = WISH_VERDICT };
	struct wish *wish = bpf_map_lookup_elem(&wishes, &key);
	__u64 now = on->now;

	if (wish) {
		__u8 verdict = wish->verdict, segment = wish->segment;

		on->data = wish->data;
		/* first: the bucket's lock brings along what the callback wrote into the state, the client */
		bpf_map_delete_elem(&wishes, &key);
		let_fall(on, verdict, segment);
	}
	key.kind = WISH_CLOSE;
	wish = bpf_map_lookup_elem(&wishes, &key);
	if (wish) {
		on->now = wish->now;
		settle_for_close(on, &wish->last);
		end_connection(on, &wish->last);
		on->now = now;
		bpf_map_delete_elem(&wishes, &key);
	}
	return 0;
}

static __always_inline bool grant_in_turn(struct subject *on)
{
	__u64 cookie = on->state->cookie;

	if (!take_turn(cookie))
		return false;
	grant_wishes(on);
	give_turn_back(cookie);
	return true;
}

static __noinline int settle_in_turn(struct subject *on, __u8 verdict, __u8 segment)
{
	struct wish wish = { .verdict = verdict, .segment = segment, .data = on->data };
	__u64 cookie = on->state->cookie;

	if (take_turn(cookie)) {
		let_fall(on, verdict, segment);
		give_turn_back(cookie);
	} else {
		on->state->wished = make_wish(cookie, WISH_VERDICT, &wish);
		grant_in_turn(on);
	}
	return 0;
}

/* From a callback. */
static __always_inline void settle(struct subject *on, __u8 verdict, __u8 segment)
{
	if (tracing_locks)
		let_fall(on, verdict, segment);
	else if (!on->state->wished)
		settle_in_turn(on, verdict, segment);
}

static __always_inline void settle_without_option(struct subject *on)
{
	__u8 segment, verdict = verdict_without_option(on->state, &segment);

	settle(on, verdict, segment);
}

static __noinline int close_in_turn(struct subject *on, const struct progress *last)
{
	struct wish wish = { .now = on->now, .last = *last };
	__u64 cookie = on->state->cookie;

	if (take_turn(cookie)) {
		grant_wishes(on);
		settle_for_close(on, last);
		end_connection(on, last);
		give_turn_back(cookie);
	} else {
		make_wish(cookie, WISH_CLOSE, &wish);
		grant_in_turn(on);
	}
	return 0;
}

/* From the callback on TCP_CLOSE: the last of it. tcp_state is the state before. */
static __always_inline void close_connection(const struct tcp_sock *tcp, struct subject *on, int tcp_state)
{
	struct progress last;

	note_unseen(tcp, on, true);
	read_progress(tcp, tcp_state, &last);
	if (!tracing_locks) {
		close_in_turn(on, &last);
		return;
	}
	settle_for_close(on, &last);
	end_connection(on, &last);
}

/* From the iterator, every few seconds. */
static __always_inline void flush(const struct tcp_sock *tcp, struct subject *on)
{
	struct socket_state *state = on->state;
	__u64 cookie = state->cookie;
	struct progress progress;

	if (!state->opened_ns || state->closed || !take_listener(on))
		return;
	find_connection(on);
	mark_flushed(on);
	if (on->sk->skc_state == BPF_TCP_CLOSE || reaped(on))
		return;
	/* at two flushes: an accept() under way has had its time to be seen */
	if (state->grafted)
		note_unseen(tcp, on, false);
	state->grafted = tcp->inet_conn.icsk_inet.sk.sk_socket != 0;
	read_progress_unlocked(tcp, on->sk->skc_state, state, &progress);

	if (tracing_locks) {
		count_progress(on, &progress);
		return;
	}
	if (!take_turn(cookie))
		return;
	grant_wishes(on);
	count_progress(on, &progress);
	give_turn_back(cookie);
	/*
	 * After each turn: one for the verdict, one for the close, and the second may be made while the first is granted.
	 * Where the turn is taken, a callback has it, and grants what it wished itself.
	 */
	if (wished(cookie) && grant_in_turn(on) && wished(cookie))
		grant_in_turn(on);
}

#endif
