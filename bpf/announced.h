/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What toa.ko said of a socket and the sockops program has not heard yet. The module speaks before the callback of
 * the same segment; it cannot be a slot of the CPU: a segment from a socket's backlog is handled by a process, which
 * may be preempted or moved in between, and a real-time kernel preempts softirqs.
 */
#ifndef TOASCOPE_ANNOUNCED_H
#define TOASCOPE_ANNOUNCED_H

#include "account.h"

/* The provider: toa.ko says what is in the options, and none is read here. Set before loading. */
extern const volatile bool from_module;

/* Tells a socket from one that had its address before it. */
struct told_of {
	__u32 hash;
	__u16 peer_port; /* network order */
	__u16 local_port;
};

/* From client to unknown_length as it stands in kernel/toa_trace.h. */
struct announcement {
	struct toa_client client;
	__u8 verdict; /* VERDICT_PENDING: it has not fallen, and what follows counts */
	__u8 segment;
	__u8 syn_verdict;
	__u8 saw_malformed;
	__u8 unknown_kind;
	__u8 unknown_length;
	__u8 reserved[6];
	struct told_of of;
	__u64 at; /* of two the later one counts */
};

/* By the socket's address: gone when it was heard, and with the socket. size: set by the daemon; 1 with the bpf provider */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct announcement);
} announced __weak SEC(".maps");

/*
 * The same, for what the first refuses while this CPU is in it (EBUSY, kernels from 5.11 on; the bucket's lock has a
 * moment before interrupts are off). A process that takes its word out is in one of them at most, and who announces
 * cannot be interrupted (kernel/toa_verdict.c): so it finds one of the two free.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct announcement);
} announced_aside __weak SEC(".maps");

/* Looks first: that takes no lock, and mostly there is nothing. */
static __always_inline void forget(__u64 socket)
{
	if (bpf_map_lookup_elem(&announced, &socket))
		bpf_map_delete_elem(&announced, &socket);
	if (bpf_map_lookup_elem(&announced_aside, &socket))
		bpf_map_delete_elem(&announced_aside, &socket);
}

/* Takes what the module has said into the socket's state. Returns the verdict; VERDICT_PENDING: it has not fallen. */
static __always_inline __u8 hear(const struct tcp_sock *tcp, const struct subject *on, __u8 *segment)
{
	struct socket_state *state = on->state;
	__u64 socket = (__u64)tcp;
	struct announcement *said = bpf_map_lookup_elem(&announced, &socket);
	struct announcement *aside = bpf_map_lookup_elem(&announced_aside, &socket);
	__u8 verdict;

	if (aside && (!said || said->at < aside->at))
		said = aside;
	if (!said)
		return VERDICT_PENDING;
	if (said->of.hash != on->sk->skc_hash || said->of.peer_port != on->sk->skc_dport ||
	    said->of.local_port != on->sk->skc_num) {
		forget(socket);
		count_drop(DROP_ANNOUNCED_STALE);
		return VERDICT_PENDING;
	}
	verdict = said->verdict;
	*segment = said->segment;
	if (said->client.family)
		state->client = said->client;
	if (verdict == VERDICT_PENDING) {
		state->syn_verdict = said->syn_verdict;
		state->saw_malformed = said->saw_malformed;
		state->unknown_kind = said->unknown_kind;
		state->unknown_length = said->unknown_length;
	}
	forget(socket);
	return verdict;
}

#endif
