/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What toa.ko has reported about a socket and no callback has taken yet. The module reports before
 * the callback of the same segment. The report cannot be in a per-CPU slot: a segment from a
 * socket's backlog is handled by a process, which can be preempted or moved to another CPU in
 * between, and a real-time kernel preempts softirqs. Nor can it be in the connection's entry:
 * programs on tracepoints cannot take a lock.
 */
#ifndef TOASCOPE_MODULE_VERDICT_H
#define TOASCOPE_MODULE_VERDICT_H

#include "verdict.h"

/* Distinguishes a socket from an earlier one at the same address. */
struct socket_identity {
	__u32 hash;
	__u16 peer_port; /* network order */
	__u16 local_port;
};

/* The fields from `client` to `unknown_length` are those of kernel/toa_trace.h. */
struct module_report {
	struct toa_client client;
	__u8 verdict; /* TOA_VERDICT_PENDING: not decided, and the fields below are valid */
	__u8 segment;
	__u8 syn_verdict;
	__u8 saw_malformed;
	__u8 unknown_kind;
	__u8 unknown_length;
	__u8 reserved[6];
	struct socket_identity of;
	__u64 at; /* of two reports, the later one counts */
};

/*
 * Keyed by the socket's address; deleted when a callback takes it, and with the socket. Size: set
 * by the daemon; 1 with the bpf provider.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct module_report);
} module_reports __weak SEC(".maps");

/*
 * For reports that the first map refuses because this CPU is working on it (EBUSY, kernels from
 * 5.11 on; the bucket's lock is marked as taken a moment before interrupts are off). One of the two
 * maps is always free: a process that takes a report out is in at most one of them, and the module
 * cannot be interrupted (kernel/toa_verdict.c).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct module_report);
} module_reports_aside __weak SEC(".maps");

/* Looks up first: that takes no lock, and mostly there is nothing to delete. */
static __always_inline void delete_report(__u64 socket)
{
	if (bpf_map_lookup_elem(&module_reports, &socket))
		bpf_map_delete_elem(&module_reports, &socket);
	if (bpf_map_lookup_elem(&module_reports_aside, &socket))
		bpf_map_delete_elem(&module_reports_aside, &socket);
}

/*
 * Takes what the module has reported: the client into the entry, the verdict into `decision`.
 * TOA_VERDICT_PENDING: not decided.
 */
static __noinline int take_module_verdict(const struct tcp_sock *tcp, struct connection *connection,
					  __u64 cookie, struct decision *decision)
{
	const struct sock_common *sk = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	__u64 socket = (__u64)tcp;
	struct module_report *report = bpf_map_lookup_elem(&module_reports, &socket);
	struct module_report *aside = bpf_map_lookup_elem(&module_reports_aside, &socket);

	decision->verdict = TOA_VERDICT_PENDING;
	if (aside && (!report || report->at < aside->at))
		report = aside;
	if (!report)
		return 0;
	if (report->of.hash != sk->skc_hash || report->of.peer_port != sk->skc_dport ||
	    report->of.local_port != sk->skc_num) {
		delete_report(socket);
		count_drop(DROP_ANNOUNCED_STALE);
		return 0;
	}
	decision->verdict = report->verdict;
	decision->segment = report->segment;
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie) && connection->verdict == TOA_VERDICT_PENDING) {
		if (report->client.family)
			connection->client = report->client;
		if (report->verdict == TOA_VERDICT_PENDING) {
			connection->syn_verdict = report->syn_verdict;
			if (report->saw_malformed)
				connection->flags |= CONN_MALFORMED;
			connection->unknown_kind = report->unknown_kind;
			connection->unknown_length = report->unknown_length;
		}
	}
	bpf_spin_unlock(&connection->lock);
	delete_report(socket);
	return 0;
}

#endif
