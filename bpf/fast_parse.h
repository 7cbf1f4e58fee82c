/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fast path of the parser: reads the option list of nearly all segments with an option in
 * place, in a few comparisons.
 */
#ifndef TOASCOPE_FAST_PARSE_H
#define TOASCOPE_FAST_PARSE_H

#include "options.h"

/* NOP, NOP, and the kind and length of the timestamps (RFC 7323, appendix A). */
#define TIMESTAMPS bpf_htonl(0x0101080a)
#define TIMESTAMPS_KIND 8
#define TIMESTAMPS_LENGTH 10
#define TIMESTAMPS_PADDED 12

/* Returns whether a profile has the layout that nearly all have, and no version to check. */
static __always_inline bool has_fast_layout(const struct toa_profile *profile)
{
	return profile->port_at == 2 && profile->address_at == 4 && !profile->version;
}

/*
 * Reads a list as nearly all segments have it: timestamps or none, then one option that ends where
 * the header does. The result is that of toa_find_client(). Returns enum toa_found; -1 if the list
 * has another form, or a profile requires more.
 */
static __noinline int fast_parse(struct bpf_sock_ops *ctx, const struct settings *set,
				 struct toa_client *client)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end, *at;
	const struct toa_profile *profile;
	__u32 left, words[4] = {};

	if (set->read_syn || set->virtual_servers || set->split_uses)
		return -1;
	if (segment + TCP_HEADER > end || segment[TCP_FLAGS_AT] & TCP_FLAG_SYN)
		return -1;
	left = header_bytes(segment) - TCP_HEADER;
	at = segment + TCP_HEADER;
	if (left >= TIMESTAMPS_PADDED && at + TIMESTAMPS_PADDED <= end && *(__u32 *)at == TIMESTAMPS &&
	    !toa_slot(&set->table, TIMESTAMPS_KIND, TIMESTAMPS_LENGTH)) {
		at += TIMESTAMPS_PADDED;
		left -= TIMESTAMPS_PADDED;
	}
	if (!left)
		return TOA_FOUND_NONE;
	if (at + 8 > end || at[1] != left)
		return -1;
	profile = &set->table.profile[toa_slot(&set->table, at[0], left)];
	if (!has_fast_layout(profile))
		return -1;
	if (profile->family == FAMILY_IPV4) {
		words[0] = *(__u32 *)(at + 4);
	} else {
		if (at + 20 > end)
			return -1;
		__builtin_memcpy(words, at + 4, sizeof(words));
		/* an IPv4 address in an IPv6 layout */
		if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff))
			return -1;
	}
	__builtin_memcpy(client->address, words, sizeof(words));
	client->port = bpf_ntohs(*(__u16 *)(at + 2));
	client->family = profile->family;
	client->profile = profile->id;
	return TOA_FOUND_ONE;
}

#endif
