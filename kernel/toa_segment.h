/* SPDX-License-Identifier: GPL-2.0-only */
/* What a segment contains: its addresses, its options, and the verdict on them. */
#ifndef TOA_SEGMENT_H
#define TOA_SEGMENT_H

#include <linux/skbuff.h>
#include <linux/tcp.h>
#include "toa_option.h"
#include "toa_verdict.h"

struct toa_address {
	u8 family;    /* 4 or 6 */
	u8 bytes[16]; /* IPv4 in the first four, the rest zero */
};

/* An option that no profile or standard defines; kind 0: there was none. */
struct toa_unknown {
	u8 kind;
	u8 length;
};

/* Write the source and the destination of a segment. */
void toa_segment_source(const struct sk_buff *skb, struct toa_address *address);
void toa_segment_destination(const struct sk_buff *skb, struct toa_address *address);

/* Writes the source and destination of the segments that a socket receives. */
void toa_segment_addresses(const struct sock *sk, struct toa_address *source,
			   struct toa_address *destination);

/*
 * Reads the options with the active profiles; of_syn: only with those that are looked for on a SYN.
 * Fills client for TOA_FOUND_ONE and TOA_FOUND_CONFLICT, and unknown if there is such an option.
 */
enum toa_found toa_segment_find(const struct sk_buff *skb, bool of_syn, struct toa_client *client,
				struct toa_unknown *unknown);

/* toa_merge_found() with the active profiles. */
u32 toa_segment_merge(const struct toa_client *on_syn, u8 syn_verdict, struct toa_client *later, u32 found);

/* Returns the verdict on an option that names a client, by whether its sender is trusted. */
u8 toa_segment_verdict(const struct sk_buff *skb, u32 found);

static inline unsigned int toa_segment_payload(const struct sk_buff *skb)
{
	return skb->len - skb_transport_offset(skb) - tcp_hdrlen(skb);
}

/*
 * Returns whether it is an acknowledgment without data, and without an option except timestamps as
 * RFC 7323 (appendix A) lays them out. A host that sends data receives these all the time. They say
 * nothing about a client, because no profile uses timestamps.
 */
static inline bool toa_segment_is_bare(const struct sk_buff *skb)
{
	const struct tcphdr *header = tcp_hdr(skb);
	const __be32 *options = (const __be32 *)(header + 1);

	if (header->fin || toa_segment_payload(skb))
		return false;
	return header->doff == 5 || (header->doff == 8 && *options == htonl(0x0101080a));
}

/*
 * Returns whether the kernel would accept the segment. Hooks see a segment before it is checked
 * (tcp_validate_incoming(), tcp_ack()), and forging one must not require less than the connection's
 * numbers: a part of the window, an acknowledgment of what was sent, no SYN and no RST.
 */
bool toa_segment_acceptable(const struct sock *sk, const struct sk_buff *skb);

#endif
