/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counts of a connection that are not in the counters yet. Taking them advances the counted_*
 * fields of the entry, under its lock; add_sums.h then adds them. So each byte is in exactly one
 * struct sums, and the program that has taken it adds it: signals do not interrupt programs,
 * whatever happens to the daemon.
 */
#ifndef TOASCOPE_SUMS_H
#define TOASCOPE_SUMS_H

#include "config.h"
#include "slots.h"

/*
 * 8.6 s: RTT samples of an open connection are at least this far apart, and at most twice this plus
 * the interval of the sweeps.
 */
#define RTT_SHIFT 33

struct sums {
	struct traffic total; /* for the listener */
	__u64 received_bytes; /* for the client: includes what was counted before the verdict */
	__u64 sent_bytes;
	__u64 retransmitted_segments;
	__u64 accept_wait_ns;
	struct toa_client client;
	__u32 listener_service;
	__u16 listener;
	__u16 flags;  /* before the sums were taken */
	__u8 verdict; /* TOA_VERDICT_PENDING: for the listener's total only */
	__u8 segment;
	__u8 accept; /* enum accept_kind if the accept is to be counted, otherwise 0 */
	__u8 prefix_length;
};

/* What a connection has done, according to its socket: payload, without FINs. */
struct progress {
	__u64 received;
	__u64 sent;
	__u32 retransmitted;
	__u32 srtt_us; /* in eighths of a microsecond */
};

/*
 * Returns whether these sums attribute the connection. They then include all that it has done so
 * far.
 */
static __always_inline bool attributed_now(const struct sums *sums)
{
	return sums->verdict != TOA_VERDICT_PENDING && !(sums->flags & CONN_ATTRIBUTED);
}

/* The caller holds the entry's lock. */
static __always_inline void take_identity(struct connection *from, struct sums *sums)
{
	sums->client = from->client;
	sums->listener_service = from->listener_service;
	sums->listener = from->listener;
	sums->flags = from->flags;
	sums->verdict = from->verdict;
	sums->segment = from->segment;
	sums->prefix_length = from->prefix_length;
	sums->accept = from->flags & CONN_ACCEPT_COUNTED ? ACCEPT_PENDING : from->accept_kind;
	sums->accept_wait_ns = sums->accept == ACCEPT_FEXIT || sums->accept == ACCEPT_GETPEERNAME ?
				       from->accepted_ns - from->opened_ns :
				       0;
}

/*
 * Takes what is new since the last count. Except for the last sums, the caller writes `now` into
 * the counted_* fields. The caller holds the entry's lock.
 */
static __always_inline void take_progress(const struct connection *from, const struct progress *now,
					  struct sums *sums)
{
	bool whole = attributed_now(sums);

	sums->total.received_bytes = now->received - from->counted_received;
	sums->total.sent_bytes = now->sent - from->counted_sent;
	sums->total.retransmitted_segments = (__u32)(now->retransmitted - from->counted_retransmitted);
	sums->received_bytes = whole ? now->received : sums->total.received_bytes;
	sums->sent_bytes = whole ? now->sent : sums->total.sent_bytes;
	sums->retransmitted_segments = whole ? now->retransmitted : sums->total.retransmitted_segments;
}

static __always_inline void take_rtt(__u32 srtt_us, struct sums *sums)
{
	sums->total.rtt_sum_ns = srtt_us * 125ULL;
	sums->total.rtt_count = srtt_us != 0;
}

/*
 * Takes all that is left of a connection whose last sums are in its entry, and makes it
 * SLOT_COUNTED. The caller holds the entry's lock.
 */
static __always_inline void take_last(struct connection *from, struct sums *sums)
{
	struct progress last = {
		.received = from->received_bytes,
		.sent = from->sent_bytes,
		.retransmitted = from->retransmitted_segments,
	};
	bool joined = from->flags & CONN_JOINED;

	take_identity(from, sums);
	take_progress(from, &last, sums);
	take_rtt(joined ? 0 : from->srtt_us, sums);
	sums->total.opened = !(from->flags & CONN_SWEPT);
	sums->total.closed = !joined;
	sums->total.duration_sum_ns = joined ? 0 : from->closed_ns - from->opened_ns;
	from->flags |= CONN_ACCEPT_COUNTED;
	if (!from->accept_kind)
		from->flags &= ~CONN_ACCEPT_COUNTED;
	from->state = SLOT_COUNTED;
}

#endif
