/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters by reason, one set of them for each CPU. */
#ifndef TOA_COUNT_H
#define TOA_COUNT_H

#include <linux/percpu.h>

enum toa_count {
	/* verdicts, in the order of enum toa_verdict from TOA_VERDICT_TOA on */
	TOA_COUNT_TOA,
	TOA_COUNT_NONE,
	TOA_COUNT_MALFORMED,
	TOA_COUNT_UNTRUSTED,
	TOA_COUNT_CONFLICT,
	/* options of trusted senders, in the order of enum toa_segment from TOA_SEGMENT_SYN on */
	TOA_COUNT_ON_SYN,
	TOA_COUNT_ON_ACK,
	TOA_COUNT_ON_DATA,
	/* getsockopt(4096) */
	TOA_COUNT_ASKED_OK,
	TOA_COUNT_ASKED_NONE,
	TOA_COUNT_ASKED_SHORT,
	TOA_COUNT_ASKED_IPV4,
	/* objects of connections */
	TOA_COUNT_ALLOCATED,
	TOA_COUNT_FREED,
	/* connections that continue without TOA */
	TOA_COUNT_NO_MEMORY,
	TOA_COUNT_FULL,
	/* what a hook saw and did not use, or repaired */
	TOA_COUNT_LOST_RACE,
	TOA_COUNT_REPAIRED,
	TOA_COUNT_STALE,
	TOA_COUNT_SYN_EVICTED,
	TOA_COUNTS,
};

struct toa_counts {
	unsigned long count[TOA_COUNTS];
};

DECLARE_PER_CPU(struct toa_counts, toa_counts);

static inline void toa_count(unsigned int what)
{
	this_cpu_inc(toa_counts.count[what]);
}

#endif
