/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decides which connections are sampled: by their ratio and listener, and by what happened to them.
 * The rule is that of consistent probability sampling (OpenTelemetry, "TraceState: Probability
 * Sampling"): a trace is sampled if its randomness is at least the threshold, so backends can tell
 * from the threshold for how many connections a span stands.
 */
#ifndef TOASCOPE_SAMPLING_H
#define TOASCOPE_SAMPLING_H

#include "config.h"

/* What can be known of a connection when its record is emitted. */
struct sample_facts {
	__u32 retransmitted;
	__u64 accept_wait_ns;
};

static __always_inline bool meets_condition(const struct settings *set, const struct sample_facts *facts)
{
	return (set->sample_retransmits && facts->retransmitted >= set->sample_retransmits) ||
	       (set->sample_accept_wait_ns && facts->accept_wait_ns >= set->sample_accept_wait_ns);
}

/*
 * Returns enum sampled_by. Only connections with a client have spans. The verdict, the port and the
 * time of the opening are read without the entry's lock: once the verdict is decided, they do not
 * change.
 */
static __always_inline __u16 sampled_by(const struct settings *set, const struct connection *connection,
					__u64 cookie, __u64 threshold, const struct sample_facts *facts)
{
	if (!toa_has_client(connection->verdict) || !port_sampled(set, connection->local_port))
		return SAMPLED_NOT;
	if (meets_condition(set, facts))
		return SAMPLED_BY_CONDITION;
	return trace_randomness(cookie, connection->opened_ns) >= threshold ? SAMPLED_BY_RATIO : SAMPLED_NOT;
}

#endif
