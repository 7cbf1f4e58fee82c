/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting while a connection is open, and once when it closes. */
#ifndef TOASCOPE_LIFETIME_H
#define TOASCOPE_LIFETIME_H

#include "verdict.h"

/*
 * A socket that has a struct socket was accepted (sock_graft()). Where neither accept
 * program saw it, that is counted, and the owner is left to the listener's.
 */
static __always_inline void note_unseen(const struct tcp_sock *tcp, struct subject *on)
{
	struct socket_state *state = on->state;
	bool first;

	if (state->seen || !tcp->inet_conn.icsk_inet.sk.sk_socket)
		return;
	bpf_spin_lock(&state->lock);
	first = !state->seen;
	if (first)
		state->seen = SEEN_UNSEEN;
	bpf_spin_unlock(&state->lock);
	if (!first)
		return;
	add(on->listener->accepts[SEEN_UNSEEN], 1);
	if (on->connection)
		on->connection->seen = SEEN_UNSEEN;
}

static __always_inline void show_progress(struct connection *connection, const struct socket_state *state,
					  const struct progress *progress)
{
	connection->received_bytes = state->received;
	connection->sent_bytes = state->sent;
	connection->retransmitted_segments = state->retransmitted;
	connection->srtt_us = progress->srtt_us >> 3;
}

/* From the iterator, every few seconds: what an open connection did since. */
static __always_inline void flush(const struct tcp_sock *tcp, struct subject *on)
{
	struct socket_state *state = on->state;
	struct progress progress;
	struct traffic delta = {};
	bool pending = true, closed;

	if (!state->opened_ns || state->closed || !take_listener(on))
		return;
	find_connection(on);
	mark_flushed(on);
	if (on->sk->skc_state == BPF_TCP_CLOSE || reaped(on))
		return;
	/* at two flushes: an accept() under way has had its time to be seen */
	if (state->grafted)
		note_unseen(tcp, on);
	state->grafted = tcp->inet_conn.icsk_inet.sk.sk_socket != 0;
	read_progress_unlocked(tcp, on->sk->skc_state, state, &progress);

	/* plain segments take the kernel's fast path, where no callback tells of the first data */
	if (state->verdict == VERDICT_PENDING && progress.received)
		settle_without_option(on);

	bpf_spin_lock(&state->lock);
	closed = state->closed;
	if (!closed) {
		pending = state->verdict == VERDICT_PENDING;
		take(state, &progress, &delta);
		if (!pending)
			take_rtt(state, &progress, on->now, false, &delta);
		if (on->connection)
			show_progress(on->connection, state, &progress);
	}
	bpf_spin_unlock(&state->lock);
	if (closed ||
	    !(delta.received_bytes | delta.sent_bytes | delta.retransmitted_segments | delta.rtt_count))
		return;
	add_traffic(&on->listener->total, &delta);
	if (delta.rtt_count)
		observe(&on->listener->rtt, delta.rtt_sum_ns, RTT_FIRST_NS);
	if (!pending)
		attribute(on, &delta);
}

/* From the callback on TCP_CLOSE: the last of it. tcp_state is the state before. */
static __always_inline void close_connection(const struct tcp_sock *tcp, struct subject *on, int tcp_state)
{
	struct socket_state *state = on->state;
	struct traffic delta = { .closed = 1 };
	struct progress progress;
	bool first;

	note_unseen(tcp, on);
	if (state->verdict == VERDICT_PENDING)
		settle_without_option(on);
	read_progress(tcp, tcp_state, &progress);
	delta.duration_sum_ns = on->now - state->opened_ns;

	bpf_spin_lock(&state->lock);
	first = !state->closed;
	if (first) {
		state->closed = 1;
		take(state, &progress, &delta);
		take_rtt(state, &progress, on->now, true, &delta);
		if (on->connection) {
			show_progress(on->connection, state, &progress);
			on->connection->closed_ns = on->now;
		}
	}
	bpf_spin_unlock(&state->lock);
	if (!first)
		return;
	add_traffic(&on->listener->total, &delta);
	observe(&on->listener->duration, delta.duration_sum_ns, DURATION_FIRST_NS);
	if (delta.rtt_count)
		observe(&on->listener->rtt, delta.rtt_sum_ns, RTT_FIRST_NS);
	attribute(on, &delta);
	if (on->connection) {
		tell(on, EVENT_CLOSED);
		free_connection_place(state->place);
	}
}

#endif
