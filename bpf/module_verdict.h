/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What toa.ko said of a socket and no callback has taken yet. The module speaks before the callback of the same segment; it cannot be
 * a slot of the CPU: a segment from a socket's backlog is handled by a process, which can be preempted or moved in between, and a
 * real-time kernel preempts softirqs. Nor can it be the connection's entry: programs on tracepoints can take no lock.
 */
#ifndef TOASCOPE_MODULE_VERDICT_H
#define TOASCOPE_MODULE_VERDICT_H

#include "verdict.h"

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

/* By the socket's address: gone when it was taken, and with the socket. size: set by the daemon; 1 with the bpf provider */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct announcement);
} announced __weak SEC(".maps");

/*
 * The same, for what the first refuses while this CPU is in it (EBUSY, kernels from 5.11 on; the bucket's lock has a
 * moment before interrupts are off). A process that takes an announcement out is in one of them at most, and the module
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

/* Takes what the module has said: the client into the entry, the verdict into `as`; VERDICT_PENDING: it has not fallen. */
static __noinline int take_module_verdict(const struct tcp_sock *tcp, struct connection *connection,
					  __u64 cookie, struct decision *as)
{
	const struct sock_common *sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	__u64 socket = (__u64)tcp;
	struct announcement *said = bpf_map_lookup_elem(&announced, &socket);
	struct announcement *aside = bpf_map_lookup_elem(&announced_aside, &socket);

	as->verdict = VERDICT_PENDING;
	if (aside && (!said || said->at < aside->at))
		said = aside;
	if (!said)
		return 0;
	if (said->of.hash != sk->skc_hash || said->of.peer_port != sk->skc_dport ||
	    said->of.local_port != sk->skc_num) {
		forget(socket);
		count_drop(DROP_ANNOUNCED_STALE);
		return 0;
	}
	as->verdict = said->verdict;
	as->segment = said->segment;
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie) && connection->verdict == VERDICT_PENDING) {
		if (said->client.family)
			connection->client = said->client;
		if (said->verdict == VERDICT_PENDING) {
			connection->syn_verdict = said->syn_verdict;
			if (said->saw_malformed)
				connection->flags |= CONN_MALFORMED;
			connection->unknown_kind = said->unknown_kind;
			connection->unknown_length = said->unknown_length;
		}
	}
	bpf_spin_unlock(&connection->lock);
	forget(socket);
	return 0;
}

#endif
