/* SPDX-License-Identifier: GPL-2.0-only */
/* The two ends of a socket, with their family made explicit. */
#ifndef TOASCOPE_ENDPOINT_H
#define TOASCOPE_ENDPOINT_H

#include "core.h"
#include "records.h"

static __always_inline void set_ipv4(struct endpoint *to, __u32 address)
{
	__builtin_memset(to, 0, sizeof(*to));
	__builtin_memcpy(to->address, &address, sizeof(address));
	to->family = FAMILY_IPV4;
}

/* A v4-mapped address is IPv4 (RFC 4291, section 2.5.5.2). */
static __always_inline void set_ipv6(struct endpoint *to, const struct in6_addr_words *address)
{
	if (!address->words[0] && !address->words[1] && address->words[2] == bpf_htonl(0xffff)) {
		set_ipv4(to, address->words[3]);
		return;
	}
	__builtin_memcpy(to->address, address->words, sizeof(to->address));
	to->port = 0;
	to->family = FAMILY_IPV6;
	to->reserved = 0;
}

static __always_inline void local_endpoint(const struct sock_common *sk, struct endpoint *to)
{
	struct in6_addr_words address;

	if (sk->skc_family == AF_INET) {
		set_ipv4(to, sk->skc_rcv_saddr);
	} else {
		address.words[0] = sk->skc_v6_rcv_saddr.words[0];
		address.words[1] = sk->skc_v6_rcv_saddr.words[1];
		address.words[2] = sk->skc_v6_rcv_saddr.words[2];
		address.words[3] = sk->skc_v6_rcv_saddr.words[3];
		set_ipv6(to, &address);
	}
	to->port = sk->skc_num;
}

static __always_inline void peer_endpoint(const struct sock_common *sk, struct endpoint *to)
{
	struct in6_addr_words address;

	if (sk->skc_family == AF_INET) {
		set_ipv4(to, sk->skc_daddr);
	} else {
		address.words[0] = sk->skc_v6_daddr.words[0];
		address.words[1] = sk->skc_v6_daddr.words[1];
		address.words[2] = sk->skc_v6_daddr.words[2];
		address.words[3] = sk->skc_v6_daddr.words[3];
		set_ipv6(to, &address);
	}
	to->port = bpf_ntohs(sk->skc_dport);
}

#endif
