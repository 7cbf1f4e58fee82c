/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A third-party getsockopt program. It answers an option of its own, and 4096 in its own way,
 * changes one answer of the kernel, forbids one option, and keeps what it saw of each.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "foreign.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12
#define IPPROTO_IP 0
#define IP_TTL 2
#define TOA_SO_GET_LOOKUP 4096

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* level << 32 | option */
	__type(value, struct foreign_seen);
} seen SEC(".maps");

static __always_inline void note(const struct bpf_sockopt *ctx)
{
	__u64 key = (__u64)ctx->level << 32 | (__u32)ctx->optname;
	struct foreign_seen value = { .retval = ctx->retval, .optlen = ctx->optlen, .calls = 1 };
	const struct foreign_seen *old = bpf_map_lookup_elem(&seen, &key);

	if (old)
		value.calls += old->calls;
	bpf_map_update_elem(&seen, &key, &value, BPF_ANY);
}

static __always_inline void answer(struct bpf_sockopt *ctx, __u32 value)
{
	__u32 *to = ctx->optval;

	if ((void *)(to + 1) > ctx->optval_end)
		return;
	*to = value;
	/* volatile keeps the stores apart: the verifier knows no 64-bit field here */
	*(volatile int *)&ctx->optlen = sizeof(*to);
	*(volatile int *)&ctx->retval = 0;
}

SEC("cgroup/getsockopt")
int foreign_getsockopt(struct bpf_sockopt *ctx)
{
	note(ctx);
	if (ctx->level == IPPROTO_IP && ctx->optname == FOREIGN_OPTION)
		answer(ctx, FOREIGN_ANSWER);
	else if (ctx->level == IPPROTO_IP && ctx->optname == TOA_SO_GET_LOOKUP &&
		 ctx->optlen == FOREIGN_LOOKUP_SIZE)
		answer(ctx, FOREIGN_ANSWER);
	else if (ctx->level == IPPROTO_IP && ctx->optname == IP_TTL && !ctx->retval)
		answer(ctx, FOREIGN_TTL);
	return !(ctx->level == SOL_SOCKET && ctx->optname == SO_PRIORITY);
}

char LICENSE[] SEC("license") = "Apache-2.0";
