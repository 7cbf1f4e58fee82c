/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The rules that lead from an option that was found to the answer for an application. The kernel
 * module and the BPF programs compile this file, and the TypeScript constants are generated from
 * it, so they cannot disagree. It calls nothing and allocates nothing.
 */
#ifndef TOA_RULES_H
#define TOA_RULES_H

#include "toa_option.h"

/* What was decided about a connection, exactly once. */
enum toa_verdict {
	TOA_VERDICT_PENDING = 0,
	TOA_VERDICT_TOA = 1,
	TOA_VERDICT_NONE = 2,
	TOA_VERDICT_MALFORMED = 3,
	TOA_VERDICT_UNTRUSTED = 4,
	TOA_VERDICT_CONFLICT = 5,
	TOA_VERDICTS = 6,
};

/* Where the option was found. */
enum toa_segment {
	TOA_SEGMENT_NONE = 0,
	TOA_SEGMENT_SYN = 1,
	TOA_SEGMENT_ACK = 2,
	TOA_SEGMENT_DATA = 3,
};

/* Returns whether a connection with this verdict has a client. */
TOA_INLINE toa_u32 toa_has_client(toa_u32 verdict)
{
	return verdict == TOA_VERDICT_TOA || verdict == TOA_VERDICT_CONFLICT;
}

/* Returns whether the list names a client, provided that its sender is trusted. */
TOA_INLINE toa_u32 toa_names_client(toa_u32 found)
{
	return found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT;
}

/* Returns the verdict on an option that names a client. */
TOA_INLINE toa_u32 toa_verdict_of(toa_u32 found, toa_u32 is_trusted)
{
	if (!is_trusted)
		return TOA_VERDICT_UNTRUSTED;
	return found == TOA_FOUND_CONFLICT ? TOA_VERDICT_CONFLICT : TOA_VERDICT_TOA;
}

/*
 * Returns the verdict on a connection whose later segments had no option: that on the SYN
 * (TOA_VERDICT_PENDING: the SYN had none either). Writes the segment that decided.
 */
TOA_INLINE toa_u32 toa_verdict_without_option(toa_u32 syn_verdict, toa_u32 saw_malformed, toa_u8 *segment)
{
	if (syn_verdict != TOA_VERDICT_PENDING) {
		*segment = TOA_SEGMENT_SYN;
		return syn_verdict;
	}
	*segment = TOA_SEGMENT_NONE;
	return saw_malformed ? TOA_VERDICT_MALFORMED : TOA_VERDICT_NONE;
}

/*
 * Decides which of two clients counts: that of the SYN, or `later`, of a later segment with
 * `found`. Returns TOA_FOUND_ON_SYN, or the enum toa_found of `later` in view of the other one. If
 * `later` has no port, it gets the other's.
 */
TOA_INLINE toa_u32 toa_merge_found(const struct toa_table *table, const struct toa_client *on_syn,
				   toa_u32 syn_verdict, struct toa_client *later, toa_u32 found)
{
	enum toa_merged merged = toa_merge_syn(table, on_syn, later);

	if (merged == TOA_MERGED_SYN)
		return TOA_FOUND_ON_SYN;
	if (merged == TOA_MERGED_CONFLICT ||
	    (merged == TOA_MERGED_SAME && syn_verdict == TOA_VERDICT_CONFLICT))
		return TOA_FOUND_CONFLICT;
	return found;
}

/*
 * Returns whether the segment acknowledges bytes that were sent. The kernel drops segments that do
 * not (tcp_ack(), RFC 9293, section 3.10.7.4), but after the hooks have seen them; without this
 * check, a forged segment would need only the client's numbers. `ack` is in host order.
 */
TOA_INLINE toa_u32 toa_ack_acceptable(toa_u32 ack, toa_u32 snd_una, toa_u32 bytes_acked, toa_u32 snd_nxt)
{
	toa_u32 first = snd_una - bytes_acked;

	return ack - first <= snd_nxt - first;
}

/* The vendor's getsockopt() option at the level IPPROTO_IP, and its answer including padding. */
#define TOA_SO_GET_LOOKUP 4096

struct toa_nat64_peer {
	toa_u8 saddr[16];
	toa_u16 sport; /* network order; 0 without a port, as with the vendor's module */
	toa_u16 padding;
};

TOA_STATIC_ASSERT(sizeof(struct toa_nat64_peer) == 20, "the layout that applications were compiled against");

/* An IPv4 client is returned as an IPv4-mapped address (RFC 4291, section 2.5.5.2). */
TOA_INLINE void toa_answer(struct toa_nat64_peer *answer, const struct toa_client *client)
{
	__builtin_memcpy(answer->saddr, client->address, sizeof(answer->saddr));
	if (client->family == 4) {
		__builtin_memcpy(answer->saddr + 12, client->address, 4);
		__builtin_memset(answer->saddr, 0, 10);
		__builtin_memset(answer->saddr + 10, 0xff, 2);
	}
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	answer->sport = __builtin_bswap16(client->port);
#else
	answer->sport = client->port;
#endif
	answer->padding = 0;
}

#endif
