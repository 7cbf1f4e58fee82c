/* SPDX-License-Identifier: GPL-2.0-only */
/* Adds the sums of a connection to its listener, and to its client or what replaces the client. */
#ifndef TOASCOPE_ADD_SUMS_H
#define TOASCOPE_ADD_SUMS_H

#include "clients.h"

/* A trusted peer that sends no option and no data is a health check: it is in no histogram. */
static __always_inline bool is_health_check(const struct sums *sums)
{
	return sums->verdict == TOA_VERDICT_NONE && sums->flags & CONN_TRUSTED && !(sums->flags & CONN_DATA);
}

/* Counts the verdict for the listener. The caller holds the row's lock. */
static __always_inline void count_verdict(struct listener *row, const struct sums *sums)
{
	__u64 verdict = sums->verdict, segment = sums->segment - 1ULL;
	__u64 option = (sums->client.profile & (TOA_PROFILE_SLOTS - 1)) * SEGMENTS + segment;
	__u64 without = (sums->flags & CONN_TRUSTED ? WITHOUT_TRUSTED_NO_DATA : WITHOUT_UNTRUSTED_NO_DATA) +
			(sums->flags & CONN_DATA ? 1 : 0);

	add_at(row->handshakes, verdict, 1);
	if (sums->verdict == TOA_VERDICT_NONE)
		add_at(row->without_option, without, 1);
	if (!toa_has_client(sums->verdict))
		return;
	if (segment < SEGMENTS)
		add_at(*(__u64(*)[TOA_PROFILE_SLOTS * SEGMENTS]) row->options, option, 1);
	if (sums->flags & CONN_HIDDEN)
		row->hidden_by_family += 1;
}

/*
 * Counts the accept for the listener. The caller holds the row's lock. `wait` is the bucket
 * (bucket_of()) of the time that the connection had waited.
 */
static __always_inline void count_accept(struct listener *row, const struct sums *sums, __u64 wait)
{
	__u64 accept = sums->accept;

	if (!accept)
		return;
	add_at(row->accepts, accept, 1);
	if (accept == ACCEPT_UNOBSERVED)
		return;
	row->accept_wait.sum_ns += sums->accept_wait_ns;
	add_at(row->accept_wait.buckets, wait, 1);
}

/*
 * Adds the sums to the listener and to the client; `client` is 0 if the client counts under
 * "other". `at_ns` is when the connection did what is counted. Overwrites the sums, so that they
 * cannot be used again.
 */
static __noinline int add_sums(struct sums *sums, struct client *client, __u64 at_ns)
{
	__u32 slot = current_slot(sums->listener, sums->listener_service, sums->flags & CONN_JOINED);
	struct listener *row = listener_row(slot);
	bool in_histograms = !is_health_check(sums) && !(sums->flags & CONN_JOINED);
	bool first = attributed_now(sums);
	__u64 duration, rtt, wait;

	if (!row)
		return 0;
	duration = bucket_of(sums->total.duration_sum_ns, DURATION_FIRST_NS);
	rtt = bucket_of(sums->total.rtt_sum_ns, RTT_FIRST_NS);
	wait = bucket_of(sums->accept_wait_ns, ACCEPT_WAIT_FIRST_NS);

	bpf_spin_lock(&row->lock);
	add_under_lock(&row->total, &sums->total);
	if (in_histograms && sums->total.closed) {
		row->duration.sum_ns += sums->total.duration_sum_ns;
		add_at(row->duration.buckets, duration, 1);
	}
	if (in_histograms && sums->total.rtt_count) {
		row->rtt.sum_ns += sums->total.rtt_sum_ns;
		add_at(row->rtt.buckets, rtt, 1);
	}
	count_accept(row, sums, wait);
	if (first)
		count_verdict(row, sums);
	/* from here on, `total` is what the client gets */
	sums->total.opened = first;
	sums->total.received_bytes = sums->received_bytes;
	sums->total.sent_bytes = sums->sent_bytes;
	sums->total.retransmitted_segments = sums->retransmitted_segments;
	if (sums->verdict != TOA_VERDICT_PENDING && !toa_has_client(sums->verdict))
		add_under_lock(&row->direct, &sums->total);
	else if (toa_has_client(sums->verdict) && !client)
		add_under_lock(&row->overflow, &sums->total);
	bpf_spin_unlock(&row->lock);

	if (first && slot == OTHER_LISTENER)
		count_drop(DROP_LISTENERS_FULL);
	if (!toa_has_client(sums->verdict) || !client)
		return 0;
	if (at_ns > client->active_ns)
		client->active_ns = at_ns;
	add_traffic(&client->traffic, &sums->total);
	return 0;
}

/* Attributes a closed connection, and adds its last sums. */
static __noinline int add_last(struct sums *sums, __u64 closed_ns)
{
	struct attribution attribution = { .drop = DROPS };

	if (toa_has_client(sums->verdict)) {
		if (attributed_now(sums))
			attribute(&sums->client, sums->listener, &attribution);
		else
			attribution.client = find_attributed_client(sums);
		count_attribution(&attribution);
	}
	return add_sums(sums, attribution.client, closed_ns);
}

/*
 * Counts a closed connection; `by` is enum counted_by. Only the program that takes it out of
 * SLOT_CLOSED adds its sums, so it counts once.
 */
static __noinline int count_closed(struct connection *connection, __u32 by)
{
	struct sums sums = {};
	__u64 *count, closed_ns;
	bool taken;

	bpf_spin_lock(&connection->lock);
	taken = connection->state == SLOT_CLOSED;
	if (taken)
		take_last(connection, &sums);
	closed_ns = connection->closed_ns;
	bpf_spin_unlock(&connection->lock);
	if (!taken)
		return 0;
	add_last(&sums, closed_ns);
	count = bpf_map_lookup_elem(&counted, &by);
	if (count)
		add(*count, 1);
	return 1;
}

#endif
