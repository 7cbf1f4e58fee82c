/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting while a connection is open, and once when it closes. */
#ifndef TOASCOPE_LIFETIME_H
#define TOASCOPE_LIFETIME_H

#include "seen.h"
#include "verdict.h"

/*
 * A socket that has a struct socket was accepted (sock_graft()). Where neither accept
 * program saw it, that is counted, and the owner is left to the listener's. At close it is
 * waited for no longer.
 */
static __always_inline void note_unseen(const struct tcp_sock *tcp, struct subject *on, bool closing)
{
	bool grafted = tcp->inet_conn.icsk_inet.sk.sk_socket;

	if (on->state->seen || !(grafted || (closing && !tracing_locks)))
		return;
	if (!first_to_see(on->state, SEEN_UNSEEN) || !grafted)
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

/* What an open connection did since it was last counted. */
static __always_inline void count_progress(struct subject *on, const struct progress *progress)
{
	struct socket_state *state = on->state;
	struct traffic delta = {};
	bool pending = true, closed;

	/* plain segments take the kernel's fast path, where no callback tells of the first data */
	if (state->verdict == VERDICT_PENDING && progress->received) {
		on->data = true;
		let_fall_without_option(on);
	}

	lock_state(state);
	closed = state->closed;
	if (!closed) {
		pending = state->verdict == VERDICT_PENDING;
		take(state, progress, &delta);
		if (!pending)
			take_rtt(state, progress, on->now, false, &delta);
		if (on->connection)
			show_progress(on->connection, state, progress);
	}
	unlock_state(state);
	if (closed ||
	    !(delta.received_bytes | delta.sent_bytes | delta.retransmitted_segments | delta.rtt_count))
		return;
	add_traffic(&on->listener->total, &delta);
	if (delta.rtt_count)
		observe(&on->listener->rtt, delta.rtt_sum_ns, RTT_FIRST_NS);
	if (!pending)
		attribute(on, &delta);
}

/* At the latest then. */
static __always_inline void settle_for_close(struct subject *on, const struct progress *last)
{
	on->data = last->received;
	if (on->state->verdict == VERDICT_PENDING)
		let_fall_without_option(on);
}

/* Not inlined: the stack of those who call is full on 5.10. */
static __noinline int touch_place(__u32 place, __u64 now)
{
	struct listener_slot *slot = bpf_map_lookup_elem(&listener_keys, &place);

	if (slot)
		touch_listener(slot, now);
	return 0;
}

/* What it did when it closed; on->now is the time of that. */
static __always_inline void count_close(struct subject *on, const struct progress *last)
{
	struct socket_state *state = on->state;
	struct traffic delta = { .closed = 1 - state->joined };
	bool first;

	if (!state->joined)
		delta.duration_sum_ns = on->now - state->opened_ns;

	lock_state(state);
	first = !state->closed;
	if (first) {
		state->closed = 1;
		take(state, last, &delta);
		take_rtt(state, last, on->now, true, &delta);
		if (on->connection) {
			show_progress(on->connection, state, last);
			on->connection->closed_ns = on->now;
		}
	}
	unlock_state(state);
	if (!first)
		return;
	touch_place(state->listener, on->now);
	add_traffic(&on->listener->total, &delta);
	/* often most of a listener's connections: its clients' times would not be seen among theirs */
	if (!state->health_check && !state->joined) {
		observe(&on->listener->duration, delta.duration_sum_ns, DURATION_FIRST_NS);
		if (delta.rtt_count)
			observe(&on->listener->rtt, delta.rtt_sum_ns, RTT_FIRST_NS);
	}
	attribute(on, &delta);
	if (on->connection) {
		tell(on, EVENT_CLOSED);
		free_connection_place(state->place);
	}
}

#endif
