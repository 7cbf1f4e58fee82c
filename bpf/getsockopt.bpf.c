// SPDX-License-Identifier: GPL-2.0-only
/*
 * getsockopt(fd, IPPROTO_IP, 4096, ...): the vendor's interface for the real client; and those for
 * the virtual server.
 */
#include "virtual_server.h"

/* include/uapi/linux/net.h */
#define SOCK_STREAM 1
#define PAGE 4096

/*
 * Leaves the answer as it is. The kernel treats the length as the program's own, and returns EFAULT
 * if it exceeds the buffer that the program is given: one page of a larger one (5.10), or of a call
 * that asks for the size. A length of 0 makes the kernel leave the caller's buffer and length
 * alone. Kernels on which a program cannot set an error need that for each call that fails: they
 * would otherwise write zeros into the caller's buffer.
 */
static __always_inline int pass(struct bpf_sockopt *ctx)
{
	__u32 length = ctx->optlen > PAGE ? PAGE + 1 : ctx->optlen & (2 * PAGE - 1);

	if (ctx->optval + length > ctx->optval_end || (!cfg.can_set_error && ctx->retval))
		*(volatile __s32 *)&ctx->optlen = 0;
	return 1;
}

/* Other protocols have no such option, and toascope does not handle connections of other ports. */
static __always_inline bool is_ours(const struct settings *set, const struct bpf_sock *sk)
{
	return sk->type == SOCK_STREAM && (sk->protocol == IPPROTO_TCP || sk->protocol == IPPROTO_MPTCP) &&
	       port_watched(set, sk->src_port);
}

/*
 * The kernel has answered ENOPROTOOPT; if it can, the program returns the module's error instead.
 * Any other answer comes from another program that knows the socket, and is kept.
 */
static __always_inline int refuse(struct bpf_sockopt *ctx, const struct bpf_sock *sk, int error)
{
	bool is_mptcp = sk->protocol == IPPROTO_MPTCP;

	/* for MPTCP, the kernel answers that it does not support the option */
	if (cfg.can_set_error && (ctx->retval == -ENOPROTOOPT || (is_mptcp && ctx->retval == -EOPNOTSUPP)))
		ctx->retval = error;
	return pass(ctx);
}

static __always_inline int finish_answer(struct bpf_sockopt *ctx, int size)
{
	/* volatile, for two stores: the verifier knows no 64-bit field here */
	*(volatile __s32 *)&ctx->optlen = size;
	*(volatile __s32 *)&ctx->retval = 0;
	return 1;
}

/*
 * Returns the socket's cookie. The kernel has no helper for it in this hook, and the verifier
 * refuses arithmetic on a pointer to a socket; but a pointer on the stack, read as bytes, is a
 * number. Returns 0 if kernel memory cannot be read: the entry then is in the socket's storage.
 */
static __always_inline __u64 cookie_of(struct bpf_sock *sk)
{
	struct bpf_sock *volatile on_stack = sk;
	struct sock_common *common = 0;
	__u64 cookie = 0;

	if (!cfg.kernel_reads || bpf_probe_read_kernel(&common, sizeof(common), (const void *)&on_stack))
		return 0;
	bpf_core_read(&cookie, sizeof(cookie), &common->skc_cookie);
	return cookie;
}

static __always_inline bool lookup_client(const struct settings *set, struct bpf_sock *sk, __u32 answer,
					  struct toa_client *to)
{
	__u64 cookie = cookie_of(sk);

	return copy_client_for(set, sk, find_connection(sk, cookie), cookie, answer, to);
}

/* Copies the client that getpeername() shows for this socket. */
static __always_inline bool copy_peername(const struct settings *set, struct bpf_sock *sk,
					  struct toa_client *to)
{
	return set->transparent && port_transparent(set, sk->src_port) &&
	       lookup_client(set, sk, ANSWER_PEERNAME, to);
}

static __always_inline int get_virtual_server(struct bpf_sockopt *ctx)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	struct toa_client shown;
	bool is_shown;
	int size;

	if (!set || set->sockopt == SOCKOPT_OFF || !set->virtual_servers || !sk || !is_ours(set, sk))
		return pass(ctx);
	is_shown = copy_peername(set, sk, &shown);
	size = answer_virtual_server(ctx, sk, is_shown ? &shown : 0);
	return size < 0 ? refuse(ctx, sk, size) : finish_answer(ctx, size);
}

SEC("cgroup/getsockopt")
int toascope_getsockopt(struct bpf_sockopt *ctx)
{
	const struct settings *set;
	struct toa_nat64_peer *answer;
	struct toa_client client;
	struct bpf_sock *sk;

	if (asks_virtual_server(ctx))
		return get_virtual_server(ctx);
	if (ctx->optname != TOA_SO_GET_LOOKUP || ctx->level != IPPROTO_IP)
		return pass(ctx);
	set = current_settings();
	sk = ctx->sk;
	if (!set || set->sockopt == SOCKOPT_OFF || !sk || !is_ours(set, sk))
		return pass(ctx);
	answer = ctx->optval;
	if ((void *)(answer + 1) > ctx->optval_end || !lookup_client(set, sk, ANSWER_SOCKOPT, &client) ||
	    (set->sockopt == SOCKOPT_REFUSE && client.family == FAMILY_IPV4))
		return refuse(ctx, sk, -EINVAL);
	toa_answer(answer, &client);
	return finish_answer(ctx, sizeof(*answer));
}
