// SPDX-License-Identifier: GPL-2.0-only
/* The companion program on accept, where the kernel allows trampolines. */
#include "accept.h"
#include <bpf/bpf_tracing.h>

/* The parameters changed in 6.10; the result is taken by helper. */
SEC("?fexit/inet_csk_accept")
int toascope_accept(__u64 *ctx)
{
	struct socket_state *state;
	struct sock *sk;
	__u64 result = 0;

	if (bpf_get_func_ret(ctx, &result) || !result)
		return 0;
	sk = (struct sock *)bpf_skc_to_tcp_sock((void *)result);
	if (!sk)
		return 0;
	state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (state)
		accepted(&sk->__sk_common, state, SEEN_FEXIT);
	return 0;
}
