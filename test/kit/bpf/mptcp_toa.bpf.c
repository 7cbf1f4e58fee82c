/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MPTCP balancer: each subflow that a process of its cgroup opens carries a TOA option with the
 * client 203.0.113.7 port 5555.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "foreign.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FOREIGN_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

enum { OPTION = 8 };

SEC("sockops")
int mptcp_toa(struct bpf_sock_ops *ctx)
{
	__u8 option[OPTION] = { 254, OPTION, 5555 >> 8, 5555 & 255, 203, 0, 113, 7 };

	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		bpf_sock_ops_cb_flags_set(ctx,
					  ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	else if (ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		bpf_reserve_hdr_opt(ctx, OPTION, 0);
	else if (ctx->op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		bpf_store_hdr_opt(ctx, option, OPTION, 0);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
