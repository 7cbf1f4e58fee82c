// SPDX-License-Identifier: GPL-2.0-only
/*
 * Closes connections in the table that are gone although no callback has told of it: another's sockops program
 * had replaced the socket's callback flags. Run by the daemon with BPF_PROG_TEST_RUN, once for each place; the
 * request is the packet, and the run before left in the packet's control block which place is next.
 *
 * A connection's state stands in its socket's storage from before it enters the table until the socket is freed,
 * and a flush comes by all that have one, closed or not, and marks their entries. So an entry that was open
 * when a flush began, and that this flush, now at its end, has not marked, has no socket any more. There is
 * nobody left to call back, to settle or to count: the reaper needs no lock, and each close is counted once.
 *
 * An entry that is just being written could look as old as the one before it on a processor that reorders loads.
 * So an entry is closed in the second run, after another flush, that finds it so; whoever writes it anew clears
 * the mark of the first. And should an iterator ever miss a socket, then those who count for it find that it
 * was closed (reaped()).
 */
#include "seen.h"

#define OK 0
#define BAD_REQUEST 1

#define FLUSH_NS 5000000000ULL /* flushes come every 5 s */

static __always_inline bool gone(const volatile struct connection *connection, __u64 flushed_ns)
{
	__u64 cookie = connection->cookie;
	bool found = cookie && !connection->closed_ns && connection->opened_ns < flushed_ns &&
		     connection->flushed < coarse_time(flushed_ns);

	/* not taken by another meanwhile: that clears the cookie first */
	return found && connection->cookie == cookie;
}

/* When it closed, at the latest: before the flush that came next. */
static __always_inline __u64 closing_time(const struct connection *connection, __u64 now)
{
	__u64 flushed_ns = (__u64)connection->flushed << 30, seen_ns = connection->opened_ns;

	if (flushed_ns > seen_ns)
		seen_ns = flushed_ns;
	return seen_ns + FLUSH_NS < now ? seen_ns + FLUSH_NS : now;
}

/* What the callback on TCP_CLOSE would have counted, less the bytes since the last flush. */
static __always_inline void close_gone(struct connection *connection)
{
	struct socket_state state = {
		.listener = connection->listener,
		.verdict = connection->verdict,
		.in_overflow = connection->in_overflow,
		.client.family = connection->client.family,
	};
	struct subject on = {
		.set = current_settings(),
		.state = &state,
		.connection = connection,
		.now = bpf_ktime_get_ns(),
	};
	__u64 closed_ns = closing_time(connection, on.now);
	struct traffic delta = { .closed = 1, .duration_sum_ns = closed_ns - connection->opened_ns };
	bool health_check = false;

	if (!on.set || !take_listener(&on))
		return;
	__builtin_memcpy(state.client.address, connection->client.address, sizeof(state.client.address));
	forget_unaccepted(connection->cookie);
	add_traffic(&on.listener->total, &delta);
	if (state.verdict == VERDICT_PENDING) {
		/* what the socket knew of options is gone with it */
		if (state.listener == OTHER_LISTENER)
			count_drop(DROP_LISTENERS_FULL);
		state.verdict = VERDICT_NONE;
		connection->verdict = VERDICT_NONE;
		add(on.listener->handshakes[VERDICT_NONE], 1);
		health_check = count_without_option(on.listener, trusted(on.set, &connection->peer),
						    connection->received_bytes);
		delta.opened = 1;
		delta.received_bytes = connection->received_bytes;
		delta.sent_bytes = connection->sent_bytes;
		delta.retransmitted_segments = connection->retransmitted_segments;
	}
	/* one that had its verdict before had data: without, it falls at the close */
	if (!health_check)
		observe(&on.listener->duration, delta.duration_sum_ns, DURATION_FIRST_NS);
	attribute(&on, &delta);
	connection->closed_ns = closed_ns;
	count_drop(DROP_CLOSE_UNHEARD);
	tell(&on, EVENT_CLOSED);
}

SEC("tc")
int toascope_reap(struct __sk_buff *skb)
{
	struct connection *connection;
	struct reap_request request;
	__u32 place;

	if (bpf_skb_load_bytes(skb, 0, &request, sizeof(request)))
		return BAD_REQUEST;
	place = request.place + skb->cb[0]++;
	connection = bpf_map_lookup_elem(&connections, &place);
	if (!connection || (request.netns && connection->netns != request.netns))
		return OK;
	if (!gone(connection, request.flushed_ns)) {
		if (connection->missed)
			connection->missed = 0;
	} else if (connection->missed && connection->missed != (__u8)request.run) {
		close_gone(connection);
		free_connection_place(place);
	} else {
		connection->missed = request.run;
	}
	return OK;
}
