// SPDX-License-Identifier: GPL-2.0-only
/*
 * Listens to toa.ko: what it says of a socket is kept until the callback of the same segment takes it. Raw tracepoints,
 * since a module built out of tree has no BTF; their arguments are those of kernel/toa_trace.h.
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

/* Its first eight bytes point to the cgroup; before 5.15 they may hold numbers instead, with one of the two low bits set. */
struct sock_cgroup_data {
	char opaque;
};

struct sock___cgroup {
	struct sock_cgroup_data sk_cgrp_data;
} CORE;

/* Is the socket of the cgroup whose sockets the other programs see? */
static __always_inline bool served(const struct settings *set, const struct sock *sk)
{
	struct cgroup_subsys_state *state;
	__u64 of = 0;
	int depth;

	if (!set->served_cgroup)
		return true;
	bpf_probe_read_kernel(&of, sizeof(of), &((struct sock___cgroup *)sk)->sk_cgrp_data);
	if (!of || of & 3)
		return false;
	state = &((struct cgroup___self *)of)->self;
	for (depth = 0; depth < CGROUP_DEPTH_MAX && state; depth++) {
		struct cgroup *cgroup = BPF_CORE_READ(state, cgroup);

		if (BPF_CORE_READ(cgroup, kn, id) == set->served_cgroup)
			return true;
		state = BPF_CORE_READ(state, parent);
	}
	return false;
}

/* For sockets that nobody takes it from, it would stay until they are gone. */
static __always_inline void announce(struct sock *sk, struct announcement *said)
{
	const struct settings *set = current_settings();
	__u64 socket = (__u64)sk;
	long error;

	if (!set || !port_watched(set, BPF_CORE_READ(sk, __sk_common.skc_num)) ||
	    (set->netns && set->netns != BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)) ||
	    !served(set, sk))
		return;
	said->of.hash = BPF_CORE_READ(sk, __sk_common.skc_hash);
	said->of.peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	said->of.local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	said->at = bpf_ktime_get_ns();
	error = bpf_map_update_elem(&announced, &socket, said, BPF_ANY);
	if (error == -EBUSY)
		error = bpf_map_update_elem(&announced_aside, &socket, said, BPF_ANY);
	if (error)
		count_drop(error == -EBUSY ? DROP_ANNOUNCED_BUSY : DROP_ANNOUNCED_FULL);
}

/*
 * A verdict for what stood on the SYN falls at a later segment, of which no callback may come, or at the close. The socket's
 * state knows by then what it takes, and the same rules apply to it. A SYN that makes the socket by itself is another matter.
 */
static __always_inline bool known(struct sock *sk, __u8 segment)
{
	return segment == SEGMENT_SYN && BPF_CORE_READ(sk, __sk_common.skc_state) != BPF_TCP_SYN_RECV;
}

static __always_inline void read_client(struct announcement *said, __u64 from)
{
	bpf_probe_read_kernel(&said->client, sizeof(said->client), (const void *)from);
}

SEC("?raw_tp/toa_peer")
int toascope_toa_peer(struct bpf_raw_tracepoint_args *ctx)
{
	struct announcement said = { .segment = ctx->args[2], .verdict = ctx->args[3] };

	if (known((struct sock *)ctx->args[0], said.segment))
		return 0;
	read_client(&said, ctx->args[1]);
	announce((struct sock *)ctx->args[0], &said);
	return 0;
}

/* Without a peer one verdict alone needs to be told: of none and malformed the sockops program has the same rules. */
SEC("?raw_tp/toa_no_peer")
int toascope_toa_no_peer(struct bpf_raw_tracepoint_args *ctx)
{
	struct announcement said = { .segment = ctx->args[1], .verdict = ctx->args[2] };

	if (said.verdict == VERDICT_UNTRUSTED && !known((struct sock *)ctx->args[0], said.segment))
		announce((struct sock *)ctx->args[0], &said);
	return 0;
}

SEC("?raw_tp/toa_pending")
int toascope_toa_pending(struct bpf_raw_tracepoint_args *ctx)
{
	struct announcement said = {
		.syn_verdict = ctx->args[2],
		.saw_malformed = ctx->args[3],
		.unknown_kind = ctx->args[4],
		.unknown_length = ctx->args[5],
	};

	read_client(&said, ctx->args[1]);
	announce((struct sock *)ctx->args[0], &said);
	return 0;
}

/*
 * The handshake failed after all, or another has replaced the callback flags: nobody has taken it. The module says so, as
 * it says all else: a program on the kernel's own tracepoint (tcp_destroy_sock) might be skipped.
 */
SEC("?raw_tp/toa_gone")
int toascope_toa_gone(struct bpf_raw_tracepoint_args *ctx)
{
	forget(ctx->args[0]);
	return 0;
}
