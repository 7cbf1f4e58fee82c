/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting: every sum is an atomic add, every loss has a reason. */
#ifndef TOASCOPE_COUNT_H
#define TOASCOPE_COUNT_H

#include "maps.h"

/* include/uapi/asm-generic/errno-base.h */
#define EBUSY 16

/*
 * Relaxed: since clang 21 a stronger order gives an instruction that returns the old value, which 5.10 does not know,
 * also where nobody uses it.
 */
#define add(field, amount) ((void)__atomic_fetch_add(&(field), (amount), __ATOMIC_RELAXED))

/* Counters are per CPU and yet added atomically: a softirq may interrupt a program in process context. */
static __always_inline void count_drop(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);

	if (count)
		add(*count, 1);
}

/*
 * No branches: each would double the paths that the verifier follows. Fields that the
 * compiler knows to be zero are left out.
 */
#define add_unless_zero(field, amount)                         \
	do {                                                   \
		if (!__builtin_constant_p(amount) || (amount)) \
			add(field, amount);                    \
	} while (0)

static __always_inline void add_traffic(struct traffic *to, const struct traffic *delta)
{
	add_unless_zero(to->opened, delta->opened);
	add_unless_zero(to->closed, delta->closed);
	add_unless_zero(to->received_bytes, delta->received_bytes);
	add_unless_zero(to->sent_bytes, delta->sent_bytes);
	add_unless_zero(to->retransmitted_segments, delta->retransmitted_segments);
	add_unless_zero(to->rtt_sum_ns, delta->rtt_sum_ns);
	add_unless_zero(to->rtt_count, delta->rtt_count);
	add_unless_zero(to->duration_sum_ns, delta->duration_sum_ns);
}

/*
 * The bucket of a value; bounds are inclusive, as Prometheus has them: bucket i takes what
 * is at most first * 2^i. Global, so that its branches are verified once.
 */
__weak __noinline int histogram_bucket(__u64 value, __u64 first)
{
	__u64 rest = value && first ? (value - 1) / first : 0;
	int bits = 0;

	if (rest >> 32)
		return HISTOGRAM_BUCKETS - 1;
	if (rest >> 16) {
		rest >>= 16;
		bits += 16;
	}
	if (rest >> 8) {
		rest >>= 8;
		bits += 8;
	}
	if (rest >> 4) {
		rest >>= 4;
		bits += 4;
	}
	if (rest >> 2) {
		rest >>= 2;
		bits += 2;
	}
	if (rest >> 1) {
		rest >>= 1;
		bits += 1;
	}
	return bits + rest;
}

static __always_inline void observe(struct histogram *histogram, __u64 value_ns, __u64 first_ns)
{
	__u32 bucket = histogram_bucket(value_ns, first_ns);

	if (bucket > HISTOGRAM_BUCKETS - 1)
		bucket = HISTOGRAM_BUCKETS - 1;
	add(histogram->sum_ns, value_ns);
	add(histogram->buckets[bucket], 1);
}

#endif
