// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receives the reports of toa.ko about a socket, and keeps each until the callback of the same
 * segment takes it. Raw tracepoints, because a module that is built out of tree has no BTF; their
 * arguments are those of kernel/toa_trace.h.
 */
#include "module_verdict.h"

#define CGROUP_DEPTH_MAX 32

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup___self {
	struct cgroup_subsys_state self;
} CORE;

/*
 * Its first eight bytes point to the cgroup; before 5.15 they can hold numbers instead, with one of
 * the two low bits set.
 */
struct sock_cgroup_data {
	char opaque;
};

struct sock___cgroup {
	struct sock_cgroup_data sk_cgrp_data;
} CORE;

/* Returns whether the socket is in the cgroup whose sockets the other programs see. */
static __always_inline bool in_served_cgroup(const struct settings *set, const struct sock *sk)
{
	struct cgroup_subsys_state *state;
	__u64 cgroup_address = 0;
	int depth;

	if (!set->served_cgroup)
		return true;
	bpf_probe_read_kernel(&cgroup_address, sizeof(cgroup_address),
			      &((struct sock___cgroup *)sk)->sk_cgrp_data);
	if (!cgroup_address || cgroup_address & 3)
		return false;
	state = &((struct cgroup___self *)cgroup_address)->self;
	for (depth = 0; depth < CGROUP_DEPTH_MAX && state; depth++) {
		struct cgroup *cgroup = BPF_CORE_READ(state, cgroup);

		if (BPF_CORE_READ(cgroup, kn, id) == set->served_cgroup)
			return true;
		state = BPF_CORE_READ(state, parent);
	}
	return false;
}

/*
 * Skips sockets whose reports no callback takes: such a report would stay until the socket is gone.
 */
static __always_inline void store_report(struct sock *sk, struct module_report *report)
{
	const struct settings *set = current_settings();
	__u64 socket = (__u64)sk;
	long error;

	if (!set || !port_watched(set, BPF_CORE_READ(sk, __sk_common.skc_num)) ||
	    (set->netns && set->netns != BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)) ||
	    !in_served_cgroup(set, sk))
		return;
	report->of.hash = BPF_CORE_READ(sk, __sk_common.skc_hash);
	report->of.peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	report->of.local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	report->at = bpf_ktime_get_ns();
	error = bpf_map_update_elem(&module_reports, &socket, report, BPF_ANY);
	if (error == -EBUSY)
		error = bpf_map_update_elem(&module_reports_aside, &socket, report, BPF_ANY);
	if (error)
		count_drop(error == -EBUSY ? DROP_ANNOUNCED_BUSY : DROP_ANNOUNCED_FULL);
}

/*
 * The verdict on a SYN's option is decided at a later segment, for which there might be no
 * callback, or at the close. By then the socket's state has all that it needs for the verdict,
 * under the same rules. A Fast Open SYN, which creates the socket, is an exception.
 */
static __always_inline bool syn_verdict_known(struct sock *sk, __u8 segment)
{
	return segment == TOA_SEGMENT_SYN && BPF_CORE_READ(sk, __sk_common.skc_state) != BPF_TCP_SYN_RECV;
}

static __always_inline void read_client(struct module_report *report, __u64 from)
{
	bpf_probe_read_kernel(&report->client, sizeof(report->client), (const void *)from);
}

SEC("?raw_tp/toa_peer")
int toascope_toa_peer(struct bpf_raw_tracepoint_args *ctx)
{
	struct module_report report = { .segment = ctx->args[2], .verdict = ctx->args[3] };

	if (syn_verdict_known((struct sock *)ctx->args[0], report.segment))
		return 0;
	read_client(&report, ctx->args[1]);
	store_report((struct sock *)ctx->args[0], &report);
	return 0;
}

/*
 * Without a client, only one verdict must be reported: for none and malformed, the sockops program
 * has the same rules.
 */
SEC("?raw_tp/toa_no_peer")
int toascope_toa_no_peer(struct bpf_raw_tracepoint_args *ctx)
{
	struct module_report report = { .segment = ctx->args[1], .verdict = ctx->args[2] };

	if (report.verdict == TOA_VERDICT_UNTRUSTED &&
	    !syn_verdict_known((struct sock *)ctx->args[0], report.segment))
		store_report((struct sock *)ctx->args[0], &report);
	return 0;
}

SEC("?raw_tp/toa_pending")
int toascope_toa_pending(struct bpf_raw_tracepoint_args *ctx)
{
	struct module_report report = {
		.syn_verdict = ctx->args[2],
		.saw_malformed = ctx->args[3],
		.unknown_kind = ctx->args[4],
		.unknown_length = ctx->args[5],
	};

	read_client(&report, ctx->args[1]);
	store_report((struct sock *)ctx->args[0], &report);
	return 0;
}

/*
 * Deletes a report that no callback took, because the handshake failed or another program replaced
 * the callback flags. This event comes from the module, like all the others: a program on the
 * kernel's own tracepoint (tcp_destroy_sock) might be skipped.
 */
SEC("?raw_tp/toa_gone")
int toascope_toa_gone(struct bpf_raw_tracepoint_args *ctx)
{
	delete_report(ctx->args[0]);
	return 0;
}
