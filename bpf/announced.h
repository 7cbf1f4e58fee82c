/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What toa.ko said of a socket and the sockops program has not heard yet. The module speaks before the callback of
 * the same segment; it cannot be a slot of the CPU: a segment from a socket's backlog is handled by a process, which
 * may be preempted or moved in between.
 */
#ifndef TOASCOPE_ANNOUNCED_H
#define TOASCOPE_ANNOUNCED_H

#include "account.h"

/* The provider: toa.ko says what is in the options, and none is read here. Set before loading. */
extern const volatile bool from_module;

/* As it stands in kernel/toa_trace.h. */
struct announcement {
	struct toa_client client;
	__u8 verdict; /* VERDICT_PENDING: it has not fallen, and what follows counts */
	__u8 segment;
	__u8 syn_verdict;
	__u8 saw_malformed;
	__u8 unknown_kind;
	__u8 unknown_length;
	__u8 reserved[2];
};

/* By the socket's address: gone when it was heard, and with the socket. size: set by the daemon; 1 with the bpf provider */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct announcement);
} announced __weak SEC(".maps");

/* Takes what the module has said into the socket's state. Returns the verdict; VERDICT_PENDING: it has not fallen. */
static __always_inline __u8 hear(const struct tcp_sock *tcp, const struct subject *on, __u8 *segment)
{
	struct socket_state *state = on->state;
	__u64 socket = (__u64)tcp;
	struct announcement *said = bpf_map_lookup_elem(&announced, &socket);
	__u8 verdict;

	if (!said)
		return VERDICT_PENDING;
	verdict = said->verdict;
	*segment = said->segment;
	if (said->client.family)
		state->client = said->client;
	if (verdict == VERDICT_PENDING) {
		state->syn_verdict = said->syn_verdict;
		state->saw_malformed = said->saw_malformed;
		state->options.unknown_kind = said->unknown_kind;
		state->options.unknown_length = said->unknown_length;
	}
	bpf_map_delete_elem(&announced, &socket);
	return verdict;
}

#endif
