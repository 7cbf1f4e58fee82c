/* SPDX-License-Identifier: GPL-2.0-only */
/* What a segment says: its addresses, its options, and what they are worth. */
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

/* An option that no profile takes and no standard names; kind 0: there was none. */
struct toa_unknown {
	u8 kind;
	u8 length;
};

/* Who sent it, and to whom. */
void toa_segment_source(const struct sk_buff *skb, struct toa_address *address);
void toa_segment_destination(const struct sk_buff *skb, struct toa_address *address);

/* Both, of the segments that a socket receives. */
void toa_segment_ends(const struct sock *sk, struct toa_address *source, struct toa_address *destination);

/*
 * Reads the options with the profiles in force; of_syn: only those that are looked for on a SYN.
 * Fills client for TOA_FOUND_ONE and TOA_FOUND_CONFLICT, and unknown where there is one.
 */
enum toa_found toa_segment_find(const struct sk_buff *skb, bool of_syn, struct toa_client *client,
				struct toa_unknown *unknown);

static inline bool toa_option_found(enum toa_found found)
{
	return found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT;
}

/* What the option on the SYN and one on a later segment are together, with the profiles in force. */
enum toa_merged toa_segment_merge(const struct toa_client *on_syn, struct toa_client *later);

/* The verdict on an option that was found: may its sender be believed? */
u8 toa_segment_judge(const struct sk_buff *skb, enum toa_found found);

static inline unsigned int toa_segment_payload(const struct sk_buff *skb)
{
	return skb->len - skb_transport_offset(skb) - tcp_hdrlen(skb);
}

/*
 * An acknowledgment without data or an option, but timestamps as RFC 7323 (appendix A) lays them out: what a sender gets all the time.
 * It tells nothing of a client, since no profile takes timestamps.
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
 * Would the kernel take it? Hooks see a segment before it is checked (tcp_validate_incoming(), tcp_ack()), and who
 * forges one must not need less than the connection's numbers: part of the window, an acknowledgment of what was
 * sent, no SYN and no RST.
 */
bool toa_segment_acceptable(const struct sock *sk, const struct sk_buff *skb);

#endif
