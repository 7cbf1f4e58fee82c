/* SPDX-License-Identifier: GPL-2.0-only */
/* The operator's settings, as the programs read them. */
#ifndef TOASCOPE_CONFIG_H
#define TOASCOPE_CONFIG_H

#include "maps.h"

/* 0 for IPv4, 1 for IPv6 */
static __always_inline __u32 family_index(__u8 family)
{
	return family >> 1 & 1;
}

static __always_inline const struct settings *current_settings(void)
{
	__u32 zero = 0, index, *current = bpf_map_lookup_elem(&generation, &zero);

	if (!current)
		return 0;
	index = *current & 1;
	return bpf_map_lookup_elem(&settings, &index);
}

static __always_inline const struct port_bits *port_bits(const struct settings *set, __u16 port)
{
	__u32 index = (set->generation & 1) * PORT_WORDS + (port >> 6);

	return bpf_map_lookup_elem(&ports, &index);
}

static __always_inline bool port_watched(const struct settings *set, __u16 port)
{
	const struct port_bits *bits = port_bits(set, port);

	return bits && bits->watched >> (port & 63) & 1;
}

static __always_inline bool port_transparent(const struct settings *set, __u16 port)
{
	const struct port_bits *bits = port_bits(set, port);

	return bits && bits->transparent >> (port & 63) & 1;
}

static __always_inline bool port_sampled(const struct settings *set, __u16 port)
{
	const struct port_bits *bits = port_bits(set, port);

	return bits && bits->sampled >> (port & 63) & 1;
}

/* Returns whether the sockets of this network namespace are watched. */
static __always_inline bool namespace_watched(const struct settings *set, const struct sock_common *sk)
{
	return !set->netns || set->netns == sk->skc_net.net->ns.inum;
}

/* Clears all but the first `length` bits of an address. */
static __always_inline void mask_address(__u32 words[4], __u32 length)
{
	__u32 i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		__u64 bits = length > 32 * i ? length - 32 * i : 0;

		bits = bits > 32 ? 32 : bits;
		words[i] &= bpf_htonl((__u32)(0xffffffffffffffffULL << (32 - bits)));
	}
}

/* Returns whether this peer is trusted to send TOA. */
static __always_inline bool trusted(const struct settings *set, const struct endpoint *peer)
{
	struct trust_key key = { .family = peer->family, .generation = set->generation };

	if (set->trust_any)
		return true;
	key.prefix_length = 96 + 96 * family_index(peer->family);
	__builtin_memcpy(key.address, peer->address, sizeof(key.address));
	return bpf_map_lookup_elem(&trust, &key);
}

#endif
