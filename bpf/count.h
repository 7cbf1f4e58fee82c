/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting: sums are atomic, or plain under a lock; each drop has a reason. */
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

/* For a client: several CPUs add to it. No zeros are added: each would cost as much as a number. */
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

/* For a listener's row, under its lock. */
static __always_inline void add_plainly(struct traffic *to, const struct traffic *delta)
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
	bits += rest;
	return bits > HISTOGRAM_BUCKETS - 1 ? HISTOGRAM_BUCKETS - 1 : bits;
}

/* The bucket, found before a lock is taken: no function can be called under it. */
static __always_inline __u64 bucket_of(__u64 value_ns, __u64 first_ns)
{
	return (__u32)histogram_bucket(value_ns, first_ns);
}

/*
 * Adds at an index. It is checked in the register that is used, of 64 bits and hidden from the compiler before: 5.10 knows no bounds of a
 * number that was on the stack meanwhile.
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
