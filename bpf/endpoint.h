/* SPDX-License-Identifier: GPL-2.0-only */
/* The two ends of a socket, with an explicit address family. */
#ifndef TOASCOPE_ENDPOINT_H
#define TOASCOPE_ENDPOINT_H

#include "core.h"
#include "records.h"

/* Returns 1 for every value except 0, without a branch. */
static __always_inline __u64 is_set(__u64 value)
{
	return (value | -value) >> 63;
}

/*
 * A v4-mapped address is IPv4 (RFC 4291, section 2.5.5.2). There are no branches, since each would
 * double the paths that the verifier follows from here on. The masks are hidden from the compiler,
 * which would make branches of them.
 */
static __always_inline void set_address(struct endpoint *to, __u16 socket_family, __u32 ipv4,
					const __u32 *ipv6)
{
	__u64 of_ipv4 = 1 - is_set(socket_family ^ AF_INET);
	__u64 mapped = 1 - is_set(ipv6[0] | ipv6[1] | (ipv6[2] ^ bpf_htonl(0xffff)));
	__u64 short_form = of_ipv4 | mapped;
	__u32 from_ipv4 = -of_ipv4, keep = short_form - 1;
	__u32 words[4];

	asm volatile("" : "+r"(from_ipv4), "+r"(keep));
	words[0] = (ipv6[0] & keep) | (~keep & ((ipv4 & from_ipv4) | (ipv6[3] & ~from_ipv4)));
	words[1] = ipv6[1] & keep;
	words[2] = ipv6[2] & keep;
	words[3] = ipv6[3] & keep;
	__builtin_memcpy(to->address, words, sizeof(to->address));
	to->family = FAMILY_IPV6 - 2 * short_form;
	to->reserved = 0;
}

static __always_inline void local_endpoint(const struct sock_common *sk, struct endpoint *to)
{
	__u32 ipv6[4] = {
		sk->skc_v6_rcv_saddr.words[0],
		sk->skc_v6_rcv_saddr.words[1],
		sk->skc_v6_rcv_saddr.words[2],
		sk->skc_v6_rcv_saddr.words[3],
	};

	set_address(to, sk->skc_family, sk->skc_rcv_saddr, ipv6);
	to->port = sk->skc_num;
}

static __always_inline void peer_endpoint(const struct sock_common *sk, struct endpoint *to)
{
	__u32 ipv6[4] = {
		sk->skc_v6_daddr.words[0],
		sk->skc_v6_daddr.words[1],
		sk->skc_v6_daddr.words[2],
		sk->skc_v6_daddr.words[3],
	};

	set_address(to, sk->skc_family, sk->skc_daddr, ipv6);
	to->port = bpf_ntohs(sk->skc_dport);
}

#endif
