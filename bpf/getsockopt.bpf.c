// SPDX-License-Identifier: GPL-2.0-only
/* getsockopt(fd, IPPROTO_IP, 4096, ...): the vendor's way to ask for the real client; and for the virtual server. */
#include "virtual_server.h"

/* include/uapi/linux/net.h */
#define SOCK_STREAM 1
#define TOA_SO_GET_LOOKUP 4096
#define ENOPROTOOPT 92
#define EOPNOTSUPP 95
#define PAGE 4096

/* Set before loading, by probe: may a getsockopt program return an error of its own? */
const volatile bool can_set_error = true;

/* struct toa_nat64_peer of the vendor's header, padding included */
struct toa_nat64_peer {
	__u8 saddr[16];
	__u16 sport; /* network order */
	__u16 padding;
};

_Static_assert(sizeof(struct toa_nat64_peer) == 20, "what applications compiled against");

/*
 * The answer stays as it is. The kernel takes the length for the program's own, and answers EFAULT where it
 * reaches past the buffer that the program is given: one page of a larger one (5.10), or of a call that
 * asks how much there is. 0 tells the kernel to leave the caller's buffer and length alone. Kernels where a program
 * can't set an error need that for each call that fails: they would write zeros into the caller's buffer.
 */
static __always_inline int pass(struct bpf_sockopt *ctx)
{
	__u32 length = ctx->optlen > PAGE ? PAGE + 1 : ctx->optlen & (2 * PAGE - 1);

	if (ctx->optval + length > ctx->optval_end || (!can_set_error && ctx->retval))
		*(volatile __s32 *)&ctx->optlen = 0;
	return 1;
}

/* Other protocols have no such option, nor have connections that toascope has nothing to do with. */
static __always_inline bool is_ours(const struct settings *set, const struct bpf_sock *sk)
{
	return sk->type == SOCK_STREAM && (sk->protocol == IPPROTO_TCP || sk->protocol == IPPROTO_MPTCP) &&
	       port_watched(set, sk->src_port);
}

/*
 * The kernel has answered ENOPROTOOPT; where it may, the program gives the error that the module does.
 * Another answer is another program's, for a socket that it knows: it stands.
 */
static __always_inline int refuse(struct bpf_sockopt *ctx, const struct bpf_sock *sk, int error)
{
	bool is_mptcp = sk->protocol == IPPROTO_MPTCP;

	/* of MPTCP it says that it does not support the option */
	if (can_set_error && (ctx->retval == -ENOPROTOOPT || (is_mptcp && ctx->retval == -EOPNOTSUPP)))
		ctx->retval = error;
	return pass(ctx);
}

static __always_inline int answered(struct bpf_sockopt *ctx, int size)
{
	/* volatile: two stores, the verifier knows no field of 64 bits here */
	*(volatile __s32 *)&ctx->optlen = size;
	*(volatile __s32 *)&ctx->retval = 0;
	return 1;
}

/*
 * The socket's cookie. The kernel has no helper for it in this hook, and arithmetic on a pointer to a socket is refused; a pointer on
 * the stack, read as bytes, is a number. 0: kernel memory cannot be read, and the entry is in the socket's storage.
 */
static __always_inline __u64 cookie_of(struct bpf_sock *sk)
{
	struct bpf_sock *volatile on_stack = sk;
	struct sock_common *common = 0;
	__u64 cookie = 0;

	if (!kernel_reads || bpf_probe_read_kernel(&common, sizeof(common), (const void *)&on_stack))
		return 0;
	bpf_core_read(&cookie, sizeof(cookie), &common->skc_cookie);
	return cookie;
}

static __always_inline bool client_asked(const struct settings *set, struct bpf_sock *sk, __u32 answer,
					 struct toa_client *to)
{
	__u64 cookie = cookie_of(sk);

	return known_client(set, sk, find_connection(sk, cookie), cookie, answer, to);
}

/* Copies the client that getpeername() shows of this socket. */
static __always_inline bool peername(const struct settings *set, struct bpf_sock *sk, struct toa_client *to)
{
	return set->transparent && port_transparent(set, sk->src_port) &&
	       client_asked(set, sk, ANSWER_PEERNAME, to);
}

static __always_inline int virtual_server_asked(struct bpf_sockopt *ctx)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	struct toa_client shown;
	bool is_shown;
	int size;

	if (!set || set->sockopt == SOCKOPT_OFF || !set->virtual_servers || !sk || !is_ours(set, sk))
		return pass(ctx);
	is_shown = peername(set, sk, &shown);
	size = answer_virtual_server(ctx, sk, is_shown ? &shown : 0);
	return size < 0 ? refuse(ctx, sk, size) : answered(ctx, size);
}

SEC("cgroup/getsockopt")
int toascope_getsockopt(struct bpf_sockopt *ctx)
{
	const struct settings *set;
	struct toa_nat64_peer *answer;
	struct toa_client client;
	struct bpf_sock *sk;

	if (asks_virtual_server(ctx))
		return virtual_server_asked(ctx);
	if (ctx->optname != TOA_SO_GET_LOOKUP || ctx->level != IPPROTO_IP)
		return pass(ctx);
	set = current_settings();
	sk = ctx->sk;
	if (!set || set->sockopt == SOCKOPT_OFF || !sk || !is_ours(set, sk))
		return pass(ctx);
	answer = ctx->optval;
	if ((void *)(answer + 1) > ctx->optval_end || !client_asked(set, sk, ANSWER_SOCKOPT, &client) ||
	    (set->sockopt == SOCKOPT_REFUSE && client.family == FAMILY_IPV4))
		return refuse(ctx, sk, -EINVAL);
	__builtin_memcpy(answer->saddr, client.address, sizeof(answer->saddr));
	if (client.family == FAMILY_IPV4) {
		__builtin_memcpy(answer->saddr + 12, client.address, 4);
		__builtin_memset(answer->saddr, 0, 10);
		__builtin_memset(answer->saddr + 10, 0xff, 2);
	}
	/* 0 where the option carries no port, as the vendor's module has it */
	answer->sport = bpf_htons(client.port);
	answer->padding = 0;
	return answered(ctx, sizeof(*answer));
}
