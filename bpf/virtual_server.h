/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * getsockopt() options 1345 to 1347: the virtual server that the client connected to, as the VTOA
 * module returns it. Structures and errors are those of net/vtoa/vtoa_ctl.c and vtoa_ctl.h in the
 * kernel of Anolis OS; databases have copies of them.
 */
#ifndef TOASCOPE_VIRTUAL_SERVER_H
#define TOASCOPE_VIRTUAL_SERVER_H

#include "mptcp.h"

#define VTOA_SO_GET_VS 1345
#define VTOA_SO_GET_VS4RDS 1346
#define HYBRID_VTOA_SO_GET_VS 1347

struct vtoa_vs {
	__u32 vid;
	__u32 vaddr; /* network order, like vport */
	__u16 vport;
	__u16 padding;
};

/*
 * The caller fills in a connection, but it is ignored: the program writes the addresses and ports
 * of the socket's own connection.
 */
struct vtoa_get_vs4rds {
	__u16 protocol;
	__u16 padding;
	__u32 caddr;
	__u16 cport;
	__u16 padding2;
	__u32 daddr;
	__u16 dport;
	__u16 padding3;
	struct vtoa_vs vs;
};

struct v6vtoa_vs {
	__u32 vid;
	__u8 vaddr[16];
	__u16 vaddr_af;
	__u16 vport;
};

_Static_assert(sizeof(struct vtoa_vs) == 12 && sizeof(struct vtoa_get_vs4rds) == 32 &&
		       sizeof(struct v6vtoa_vs) == 24,
	       "the layout that applications were compiled against");

static __always_inline bool asks_virtual_server(const struct bpf_sockopt *ctx)
{
	return (ctx->level == IPPROTO_IP || ctx->level == IPPROTO_IPV6) && ctx->optname >= VTOA_SO_GET_VS &&
	       ctx->optname <= HYBRID_VTOA_SO_GET_VS;
}

/* Returns 0 if there is none. Deleted when the socket is used for a connection of its own. */
static __always_inline struct toa_virtual *known_virtual(struct bpf_sock *sk)
{
	struct socket_answers *stored = bpf_sk_storage_get(&answers, sk, 0, 0);

	return stored && stored->virtual_known ? &stored->virtual_server : 0;
}

static __always_inline void write_vs(const struct toa_virtual *server, struct vtoa_vs *to)
{
	to->vid = server->vni;
	__builtin_memcpy(&to->vaddr, server->address, sizeof(to->vaddr));
	to->vport = bpf_htons(server->port);
	to->padding = 0;
}

/*
 * Overwrites the caller's endpoints with those that getpeername() and getsockname() return. Only
 * for IPv4: the structure has no room for more.
 */
static __always_inline void write_ends(struct bpf_sock *sk, const struct toa_client *shown,
				       struct vtoa_get_vs4rds *to)
{
	__u32 peer4 = sk->dst_ip4, peer6 = sk->dst_ip6[3], local4 = sk->src_ip4, local6 = sk->src_ip6[3];
	bool is_ipv4 = sk->family == AF_INET;

	/*
	 * hidden from the compiler, which would first choose the offset and read once: the verifier
	 * requires fixed offsets
	 */
	asm volatile("" : "+r"(peer4), "+r"(peer6), "+r"(local4), "+r"(local6));
	to->protocol = IPPROTO_TCP;
	to->padding = 0;
	to->caddr = is_ipv4 ? peer4 : peer6;
	to->cport = sk->dst_port;
	to->padding2 = 0;
	to->daddr = is_ipv4 ? local4 : local6;
	to->dport = bpf_htons(sk->src_port);
	to->padding3 = 0;
	if (!shown || shown->family != FAMILY_IPV4)
		return;
	__builtin_memcpy(&to->caddr, shown->address, sizeof(to->caddr));
	if (shown->port)
		to->cport = bpf_htons(shown->port);
}

/*
 * Returns the size of the answer, or -errno. `shown` is the client that getpeername() shows, or 0.
 */
static __always_inline int answer_virtual_server(struct bpf_sockopt *ctx, struct bpf_sock *sk,
						 const struct toa_client *shown)
{
	const struct toa_virtual *server = known_virtual(sk);
	struct v6vtoa_vs *hybrid = ctx->optval;
	struct vtoa_get_vs4rds *rds = ctx->optval;
	struct vtoa_vs *vs = ctx->optval;
	bool is_ipv4 = server && server->family == FAMILY_IPV4;
	void *end = ctx->optval_end;

	if (ctx->level == IPPROTO_IPV6 && ctx->optname != HYBRID_VTOA_SO_GET_VS)
		return -EINVAL;
	switch (ctx->optname) {
	case VTOA_SO_GET_VS:
		if ((void *)(vs + 1) > end)
			return -EINVAL;
		if (!is_ipv4)
			return -ESRCH;
		write_vs(server, vs);
		return sizeof(*vs);
	case VTOA_SO_GET_VS4RDS:
		if ((void *)(rds + 1) > end || ctx->optlen != sizeof(*rds))
			return -EINVAL;
		if (!is_ipv4)
			return -ESRCH;
		write_ends(sk, shown, rds);
		write_vs(server, &rds->vs);
		return sizeof(*rds);
	}
	if ((void *)(hybrid + 1) > end)
		return -EINVAL;
	/* the level IPPROTO_IPV6, which belongs to AF_INET6 sockets, returns only IPv6 */
	if (!server || (is_ipv4 && ctx->level == IPPROTO_IPV6))
		return -ESRCH;
	hybrid->vid = server->has_vni || is_ipv4 ? server->vni : 0xffffff;
	__builtin_memcpy(hybrid->vaddr, server->address, sizeof(hybrid->vaddr));
	hybrid->vaddr_af = is_ipv4 ? AF_INET : AF_INET6;
	hybrid->vport = bpf_htons(server->port);
	return sizeof(*hybrid);
}

#endif
