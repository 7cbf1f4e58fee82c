/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting: sums are atomic, or plain under a lock; each drop has a reason. */
#ifndef TOASCOPE_COUNT_H
#define TOASCOPE_COUNT_H

#include "maps.h"

/*
 * Relaxed: for a stronger order, clang 21 and later emit an instruction that returns the old value
 * even if the result is unused, and 5.10 does not know that instruction.
 */
#define add(field, amount) ((void)__atomic_fetch_add(&(field), (amount), __ATOMIC_RELAXED))

/* Counters are per CPU and yet added atomically: a softirq can interrupt a program of a process. */
static __always_inline void count_drop(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);

	if (count)
		add(*count, 1);
}

/*
 * For a client, which several CPUs add to. Zeros are skipped: each would cost as much as a number.
 */
static __always_inline void add_traffic(struct traffic *to, const struct traffic *delta)
{
	if (delta->opened)
		add(to->opened, delta->opened);
	if (delta->closed) {
		add(to->closed, delta->closed);
		add(to->duration_sum_ns, delta->duration_sum_ns);
	}
	if (delta->received_bytes)
		add(to->received_bytes, delta->received_bytes);
	if (delta->sent_bytes)
		add(to->sent_bytes, delta->sent_bytes);
	if (delta->retransmitted_segments)
		add(to->retransmitted_segments, delta->retransmitted_segments);
	if (delta->rtt_count) {
		add(to->rtt_sum_ns, delta->rtt_sum_ns);
		add(to->rtt_count, delta->rtt_count);
	}
}

/* For a listener's row, whose lock the caller holds. */
static __always_inline void add_under_lock(struct traffic *to, const struct traffic *delta)
{
	to->opened += delta->opened;
	to->closed += delta->closed;
	to->received_bytes += delta->received_bytes;
	to->sent_bytes += delta->sent_bytes;
	to->retransmitted_segments += delta->retransmitted_segments;
	to->rtt_sum_ns += delta->rtt_sum_ns;
	to->rtt_count += delta->rtt_count;
	to->duration_sum_ns += delta->duration_sum_ns;
}

/*
 * Returns the bucket of a value. Bounds are inclusive, as in Prometheus: bucket i is for values of
 * at most first * 2^i. Global, so that the verifier checks its branches once.
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
	bits += rest;
	return bits > HISTOGRAM_BUCKETS - 1 ? HISTOGRAM_BUCKETS - 1 : bits;
}

/* Finds the bucket before a lock is taken, because no function can be called under the lock. */
static __always_inline __u64 bucket_of(__u64 value_ns, __u64 first_ns)
{
	return (__u32)histogram_bucket(value_ns, first_ns);
}

/*
 * Adds at an index. The check uses the same 64-bit register as the access, and the register is
 * hidden from the compiler before: 5.10 loses the bounds of a number that was on the stack in
 * between.
 */
#define add_at(array, index, amount)                          \
	do {                                                  \
		__u64 at_ = (index);                          \
                                                              \
		asm volatile("" : "+r"(at_));                 \
		if (at_ < sizeof(array) / sizeof((array)[0])) \
			(array)[at_] += (amount);             \
	} while (0)

#endif
