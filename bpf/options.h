/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the client in a segment's option list. */
#ifndef TOASCOPE_OPTIONS_H
#define TOASCOPE_OPTIONS_H

#include "answers.h"
#include "verdict.h"

#define TCP_HEADER 20
#define TCP_ACK_AT 8
#define TCP_FLAGS_AT 13
#define TCP_FLAG_SYN 2

/* Data offset, RFC 9293 section 3.1. */
static __always_inline __u32 header_bytes(const __u8 *segment)
{
	return (segment[12] >> 4) * 4;
}

static __always_inline struct parse_scratch *this_scratch(void)
{
	__u32 slot = bpf_get_smp_processor_id() % PARSE_SCRATCHES;

	return bpf_map_lookup_elem(&parse_scratches, &slot);
}

/*
 * Returns what a socket stores in addition to its client, and creates it if it is missing. 0: no
 * profile asks for it, or there is no memory.
 */
static __always_inline struct socket_answers *get_or_create_answers(const struct settings *set,
								    struct bpf_sock *sk)
{
	if (!set->split_uses && !set->virtual_servers)
		return 0;
	return bpf_sk_storage_get(&answers, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* What was found in an option list. */
struct parsed {
	struct toa_client client;
	struct toa_virtual virtual_server; /* family 0: the list names none */
	__u8 unknown_kind;
	__u8 unknown_length;
};

/* Parses the list in the scratch area, whose lock the caller holds. Returns enum toa_found. */
static __always_inline int parse_list(struct parse_scratch *scratch, const struct settings *set,
				      struct parsed *parsed)
{
	int found;

	scratch->list.unknown_kind = 0;
	found = toa_find_client(&scratch->list, &set->table, &scratch->client, &scratch->other);
	if (set->virtual_servers && found != TOA_FOUND_MALFORMED && scratch->list.virtual_at != TOA_LIST_MASK)
		toa_read_virtual(&scratch->list, &set->table, &parsed->virtual_server);
	parsed->client = scratch->client;
	parsed->unknown_kind = scratch->list.unknown_kind;
	parsed->unknown_length = scratch->list.unknown_length;
	return found;
}

/*
 * Stores the virtual server that a list names, unless an earlier one is final. If the client is the
 * one from the SYN (TOA_FOUND_ON_SYN), a virtual server from the SYN is kept, too.
 */
static __always_inline void store_virtual(int found, const struct parsed *parsed, struct socket_answers *to)
{
	if (!to || to->virtual_known || !parsed->virtual_server.family ||
	    (found == TOA_FOUND_ON_SYN && to->virtual_server.family))
		return;
	to->virtual_server = parsed->virtual_server;
}

/*
 * Writes what was found in a list into the entry. Until the verdict is decided, only a client from
 * the SYN is shown: see copy_client().
 */
static __always_inline void store_list(struct connection *connection, __u64 cookie, int found,
				       const struct parsed *parsed)
{
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie) && connection->verdict == TOA_VERDICT_PENDING) {
		if (toa_names_client(found))
			connection->client = parsed->client;
		if (found == TOA_FOUND_MALFORMED)
			connection->flags |= CONN_MALFORMED;
		if (parsed->unknown_kind) {
			connection->unknown_kind = parsed->unknown_kind;
			connection->unknown_length = parsed->unknown_length;
		}
	}
	bpf_spin_unlock(&connection->lock);
}

/*
 * Copies the segment's option list. The copy is in fixed steps: a variable packet offset would
 * multiply the verifier's states. The caller holds the scratch area's lock. Returns the list's
 * length.
 */
static __always_inline __u32 copy_list(struct bpf_sock_ops *ctx, struct parse_scratch *scratch, __u32 use)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	__u32 header, length = 0, i;

	if (segment + TCP_HEADER > end)
		return 0;
	header = header_bytes(segment);
#pragma unroll
	for (i = 0; i < TOA_OPTIONS_MAX / 4; i++) {
		__u8 *word = segment + TCP_HEADER + 4 * i;

		if (TCP_HEADER + 4 * (i + 1) <= header && word + 4 <= end) {
			__builtin_memcpy(scratch->list.bytes + 4 * i, word, 4);
			length = 4 * (i + 1);
		}
	}
	scratch->list.length = length;
	scratch->list.source =
		segment[TCP_FLAGS_AT] & TCP_FLAG_SYN ? TOA_SOURCE_FAST_OPEN : TOA_SOURCE_SEGMENT;
	scratch->list.use = use;
	return length;
}

/*
 * Copies the SYN, which the kernel has kept if the listener has TCP_SAVE_SYN set. Returns its size;
 * 0 or a negative error if there is none. A Fast Open SYN, which creates the socket, is treated
 * like any other segment.
 */
static __always_inline long read_syn(struct bpf_sock_ops *ctx, __u8 syn[TCP_HEADER + TOA_OPTIONS_MAX])
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	long size;

	if (segment + TCP_HEADER <= end && segment[TCP_FLAGS_AT] & TCP_FLAG_SYN)
		return 0;
	size = bpf_getsockopt(ctx, IPPROTO_TCP, TCP_BPF_SYN, syn, TCP_HEADER + TOA_OPTIONS_MAX);
	return size > TCP_HEADER + TOA_OPTIONS_MAX ? 0 : size;
}

static __always_inline void copy_syn(struct parse_scratch *scratch, const __u8 *syn, long size, __u32 use)
{
	__builtin_memcpy(scratch->list.bytes, syn + TCP_HEADER, TOA_OPTIONS_MAX);
	scratch->list.length = size - TCP_HEADER;
	scratch->list.source = TOA_SOURCE_SYN;
	scratch->list.use = use;
}

/* Returns toa_ack_acceptable() of the segment; false if there is none. */
static __always_inline bool acceptable_ack(struct bpf_sock_ops *ctx, const struct tcp_sock *tcp)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	__u32 ack;

	if (segment + TCP_HEADER > end)
		return false;
	__builtin_memcpy(&ack, segment + TCP_ACK_AT, sizeof(ack));
	return toa_ack_acceptable(bpf_ntohl(ack), tcp->snd_una, tcp->bytes_acked, tcp->snd_nxt);
}

static __always_inline __u8 segment_kind(struct bpf_sock_ops *ctx)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;

	if (segment + TCP_HEADER > end)
		return TOA_SEGMENT_ACK;
	if (segment[TCP_FLAGS_AT] & TCP_FLAG_SYN)
		return TOA_SEGMENT_SYN;
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return TOA_SEGMENT_ACK;
	return ctx->skb_len > header_bytes(segment) ? TOA_SEGMENT_DATA : TOA_SEGMENT_ACK;
}

#endif
