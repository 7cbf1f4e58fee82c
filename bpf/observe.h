/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads open connections in a sweep. */
#ifndef TOASCOPE_OBSERVE_H
#define TOASCOPE_OBSERVE_H

#include "raw_socket.h"
#include "missed_close.h"

/* An open connection that is to be counted. */
struct observed {
	struct entry entry;
	struct progress progress;
	__u64 now;
	struct attribution attribution; /* of a connection that is attributed by this sweep */
	__u16 held;                     /* CONN_HELD_RECEIVED, CONN_HELD_SENT */
	bool has_struct_socket;
	bool gone; /* its socket is gone: nothing but its opening is counted */
	/*
	 * Set in the full sweeps, which run every 5 s. Only they withhold a byte: a sweep of new
	 * connections can run just before a full one, so its byte would be counted without a wait.
	 */
	bool is_full_sweep;
};

enum sweep_result { SWEEP_NOTHING = 0, SWEEP_COUNT_OPEN = 1, SWEEP_COUNT_CLOSED = 2, SWEEP_AGAIN = 3 };

/* Takes what an open connection has done since it was last counted. The caller holds the lock. */
static __always_inline void take_open(struct connection *connection, const struct observed *observed,
				      struct sums *sums)
{
	const struct progress *progress = &observed->progress;
	__u8 clock = observed->now >> RTT_SHIFT;

	if (observed->is_full_sweep) {
		if (observed->has_struct_socket && connection->flags & CONN_HAD_STRUCT_SOCKET &&
		    !connection->accept_kind)
			connection->accept_kind = ACCEPT_UNOBSERVED;
		connection->flags &= ~CONN_HAD_STRUCT_SOCKET;
		connection->flags |= observed->has_struct_socket ? CONN_HAD_STRUCT_SOCKET : 0;
	}
	take_identity(connection, sums);
	take_progress(connection, progress, sums);
	sums->total.opened = !(connection->flags & CONN_SWEPT);
	if (sums->verdict != TOA_VERDICT_PENDING && progress->srtt_us && !(sums->flags & CONN_JOINED) &&
	    (__u8)(clock - connection->rtt_sampled) >= 2) {
		connection->rtt_sampled = clock;
		take_rtt(progress->srtt_us, sums);
	}
	connection->counted_received = progress->received;
	connection->counted_sent = progress->sent;
	connection->counted_retransmitted = progress->retransmitted;
	connection->srtt_us = progress->srtt_us;
	connection->flags &= ~(CONN_HELD_RECEIVED | CONN_HELD_SENT);
	if (!observed->gone)
		connection->flags &= ~CONN_GONE;
	connection->flags |= CONN_SWEPT | observed->held | (sums->accept ? CONN_ACCEPT_COUNTED : 0) |
			     (sums->verdict != TOA_VERDICT_PENDING ? CONN_ATTRIBUTED : 0);
}

/* Returns whether there is anything to count. Most open connections are idle. */
static __always_inline bool has_counts(const struct sums *sums)
{
	return sums->total.opened | sums->total.received_bytes | sums->total.sent_bytes |
		       sums->total.retransmitted_segments | sums->total.rtt_count | sums->accept ||
	       attributed_now(sums);
}

static __always_inline bool is_as_observed(const struct connection *connection, const struct entry *entry)
{
	return is_unchanged(connection, entry) &&
	       !((connection->flags ^ entry->flags) & (CONN_ATTRIBUTED | CONN_SWEPT)) &&
	       connection->counted_received == entry->counted_received &&
	       connection->counted_sent == entry->counted_sent &&
	       connection->counted_retransmitted == entry->counted_retransmitted;
}

/* Returns whether these sums attribute the connection to its client. */
static __always_inline bool attributes_client(const struct sums *sums)
{
	return toa_has_client(sums->verdict) && attributed_now(sums);
}

/*
 * Returns false if the connection has changed since it was observed. Not inlined, to keep its stack
 * frame out of its caller's: a chain of calls has 512 bytes.
 */
static __noinline int take_observed(struct connection *connection, const struct observed *observed,
				    struct sums *sums)
{
	bool taken;

	bpf_spin_lock(&connection->lock);
	taken = is_as_observed(connection, &observed->entry);
	if (taken) {
		take_open(connection, observed, sums);
		if (attributes_client(sums))
			store_attribution(connection, &observed->attribution);
	}
	bpf_spin_unlock(&connection->lock);
	return taken;
}

/* Returns false if the connection has changed since it was observed. */
static __noinline int count_open(struct connection *connection, const struct observed *observed)
{
	struct client *client = observed->attribution.client;
	struct sums sums = {};

	if (!take_observed(connection, observed, &sums))
		return 0;
	if (!has_counts(&sums))
		return 1;
	if (attributes_client(&sums))
		count_attribution(&observed->attribution);
	else if (toa_has_client(sums.verdict))
		client = find_attributed_client(&sums);
	add_sums(&sums, client, observed->now);
	return 1;
}

static __always_inline void read_payload(const struct raw_socket *raw, struct observed *observed)
{
	const struct entry *entry = &observed->entry;
	struct progress *progress = &observed->progress;

	progress->received =
		payload(raw->received, entry->counted_received,
			observed->is_full_sweep && entry->flags & CONN_HELD_RECEIVED && !raw->received_fin);
	progress->sent = payload(raw->acked, entry->counted_sent,
				 observed->is_full_sweep && entry->flags & CONN_HELD_SENT && !raw->sent_fin);
	if (observed->is_full_sweep && raw->received != progress->received)
		observed->held |= CONN_HELD_RECEIVED;
	if (observed->is_full_sweep && raw->acked != progress->sent)
		observed->held |= CONN_HELD_SENT;
	/* the kernel resets its count when the socket is disconnected */
	progress->retransmitted = raw->retransmitted;
	if (progress->retransmitted < entry->counted_retransmitted)
		progress->retransmitted = entry->counted_retransmitted;
	progress->srtt_us = raw->srtt_us;
}

/* Decides the verdict for data that took the kernel's fast path, which calls no callback. */
static __noinline int decide_for_data(struct connection *connection, struct entry *entry)
{
	const struct settings *set = current_settings();
	struct decision decision = { .flags = CONN_DATA };
	struct raw_identity identity = {};
	__u8 verdict;

	if (!set || !read_identity(entry->socket, entry->cookie, &identity))
		return 0;
	if (trusted(set, &connection->peer))
		decision.flags |= CONN_TRUSTED;
	decision.is_hidden = hidden_by_family(set, identity.family, identity.local_port, &entry->client,
					      entry->peername_family);
	verdict = record_verdict(connection, entry->cookie, &decision);
	if (verdict != TOA_VERDICT_PENDING)
		entry->verdict = verdict;
	return 0;
}

/* Returns enum sweep_result. */
static __noinline int observe(struct connection *connection, struct observed *observed)
{
	const struct settings *set = current_settings();
	struct entry *entry = &observed->entry;
	struct raw_socket raw = {};

	if (!set)
		return SWEEP_NOTHING;
	observed->now = bpf_ktime_get_ns();
	read_entry(connection, entry);
	/* it has closed in the meantime, and must be counted */
	if (!entry->is_open)
		return SWEEP_AGAIN;
	observed->gone = !read_socket(entry->socket, entry->cookie, &raw) || raw.closed;
	if (observed->gone) {
		if (observed->is_full_sweep && close_missed(connection, entry, observed->now))
			return SWEEP_COUNT_CLOSED;
		if (entry->flags & CONN_SWEPT)
			return SWEEP_NOTHING;
	} else {
		observed->has_struct_socket = raw.has_struct_socket && !set->no_accepts;
		read_payload(&raw, observed);
	}
	if (entry->verdict == TOA_VERDICT_PENDING && observed->progress.received)
		decide_for_data(connection, entry);
	if (toa_has_client(entry->verdict) && !(entry->flags & CONN_ATTRIBUTED))
		attribute(&entry->client, entry->listener, &observed->attribution);
	return SWEEP_COUNT_OPEN;
}

/*
 * Returns enum sweep_result. A separate function, so that its stack frame is not in the way of
 * closed connections.
 */
static __noinline int sweep_open(struct connection *connection, __u32 is_full_sweep)
{
	struct observed observed = { .is_full_sweep = is_full_sweep, .attribution = { .drop = DROPS } };
	int result = observe(connection, &observed);

	if (result == SWEEP_COUNT_OPEN)
		result = count_open(connection, &observed) ? SWEEP_NOTHING : SWEEP_AGAIN;
	return result;
}

#endif
