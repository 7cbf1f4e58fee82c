/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A third-party sockops program. It requests callbacks on one local port, counts all callbacks,
 * sets the first receive window, and checks at the close whether its flags are still set.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "foreign.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct foreign_request);
} request SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FOREIGN_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *value = bpf_map_lookup_elem(&counts, &what);

	if (value)
		__atomic_fetch_add(value, 1, __ATOMIC_RELAXED);
}

SEC("sockops")
int foreign_sockops(struct bpf_sock_ops *ctx)
{
	__u32 zero = 0, flags = ctx->bpf_sock_ops_cb_flags;
	const struct foreign_request *wanted = bpf_map_lookup_elem(&request, &zero);

	if (!wanted || ctx->local_port != wanted->port)
		return 1;
	count(ctx->op);
	if (ctx->op == BPF_SOCK_OPS_RWND_INIT)
		ctx->reply = wanted->window;
	else if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_sock_ops_cb_flags_set(ctx, wanted->only ? wanted->flags : flags | wanted->flags);
	else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE &&
		 (flags & wanted->flags) == wanted->flags)
		count(FOREIGN_FLAGS_KEPT);
	return 1;
}

char LICENSE[] SEC("license") = "Apache-2.0";
