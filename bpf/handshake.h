/* SPDX-License-Identifier: GPL-2.0-only */
/* From the segment that creates the socket to the option in it, or in one of the next. */
#ifndef TOASCOPE_HANDSHAKE_H
#define TOASCOPE_HANDSHAKE_H

#include "announced.h"
#include "transparent.h"
#include "verdict.h"

#define TCP_HEADER 20
#define TCP_ACK_AT 8
#define TCP_FLAGS_AT 13
#define TCP_FLAG_SYN 2

/* include/uapi/linux/in.h and tcp.h */
#define IPPROTO_TCP 6
#define TCP_SAVE_SYN 27

/* Beside enum toa_found: there is an option, but the one on the SYN has a higher priority. */
#define FOUND_ON_SYN 4

/* include/uapi/asm-generic/errno-base.h */
#define ENOENT 2

/* Data offset, RFC 9293 section 3.1. */
static __always_inline __u32 header_bytes(const __u8 *segment)
{
	return (segment[12] >> 4) * 4;
}

static __always_inline struct reading *this_reading(void)
{
	__u32 place = bpf_get_smp_processor_id() % READINGS;

	return bpf_map_lookup_elem(&readings, &place);
}

/* What a socket answers beside its client. With a profile that asks for it there is one for each connection. */
static __always_inline struct socket_answers *make_answers(const struct settings *set, struct bpf_sock *sk)
{
	if (!set->split_uses && !set->virtual_servers)
		return 0;
	return bpf_sk_storage_get(&answers, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* Reads what is in `reading`, whose lock is held: no function may be called. The client goes into reading->client. */
static __always_inline int find_client_option(struct reading *reading, const struct settings *set,
					      struct socket_state *state)
{
	int found;

	reading->list.unknown_kind = 0;
	found = toa_find(&reading->list, &set->table, &reading->client, &reading->other);
	if (reading->list.unknown_kind) {
		state->unknown_kind = reading->list.unknown_kind;
		state->unknown_length = reading->list.unknown_length;
	}
	return found;
}

/*
 * Takes the virtual server that the list names, unless one has been answered. Where the client is the one from the SYN
 * (FOUND_ON_SYN), so is a virtual server that came with it.
 */
static __always_inline void take_virtual(const struct reading *reading, const struct settings *set, int found,
					 struct socket_answers *to)
{
	if (!to || !set->virtual_servers || to->virtual_known || found == TOA_FOUND_MALFORMED ||
	    reading->list.virtual_at == TOA_LIST_MASK)
		return;
	if (found == FOUND_ON_SYN && to->virtual_server.family)
		return;
	toa_read_virtual(&reading->list, &set->table, &to->virtual_server);
}

/* Puts reading->client in place of what the SYN had. Its lock is held. Returns enum toa_found, or FOUND_ON_SYN. */
static __always_inline int merge_client(const struct reading *reading, const struct settings *set, int found,
					bool on_syn, bool syn_conflict, struct toa_client *to)
{
	struct toa_client *later = (struct toa_client *)&reading->client;
	enum toa_merged merged;

	if (on_syn) {
		merged = toa_merge_syn(&set->table, to, later);
		if (merged == TOA_MERGED_SYN)
			return FOUND_ON_SYN;
		if (merged == TOA_MERGED_CONFLICT || (merged == TOA_MERGED_SAME && syn_conflict))
			found = TOA_FOUND_CONFLICT;
	}
	*to = *later;
	return found;
}

/* The answer of a use, which is not TOA_USE_ALL. */
static __always_inline __u32 answer_of(__u32 use)
{
	return use == TOA_USE_PEERNAME ? ANSWER_PEERNAME : ANSWER_SOCKOPT;
}

/*
 * Copies the segment's options and parses them. Global, so that it is verified once and by itself; the copy
 * goes in fixed steps, since a variable packet offset multiplies the verifier's states.
 *
 * Returns enum toa_found, or FOUND_ON_SYN. The client goes into the socket's state, or with another use (enum toa_use) into its
 * answers, in place of one from the SYN.
 */
__noinline int parse_options(struct bpf_sock_ops *ctx, __u32 use)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	struct socket_answers *to;
	struct socket_state *state;
	struct reading *reading;
	__u32 header, length = 0, i;
	int found = TOA_FOUND_NONE;

	if (!sk || !set)
		return TOA_FOUND_NONE;
	state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	reading = this_reading();
	if (!state || !reading || segment + TCP_HEADER > end)
		return TOA_FOUND_NONE;
	to = make_answers(set, sk);
	header = header_bytes(segment);
	bpf_spin_lock(&reading->lock);
#pragma unroll
	for (i = 0; i < TOA_OPTIONS_MAX / 4; i++) {
		__u8 *word = segment + TCP_HEADER + 4 * i;

		if (TCP_HEADER + 4 * (i + 1) <= header && word + 4 <= end) {
			__builtin_memcpy(reading->list.bytes + 4 * i, word, 4);
			length = 4 * (i + 1);
		}
	}
	if (length) {
		reading->list.length = length;
		reading->list.of_syn = segment[TCP_FLAGS_AT] & TCP_FLAG_SYN ? TOA_SYN_DATA : TOA_SYN_NONE;
		reading->list.use = use;
		found = find_client_option(reading, set, state);
	}
	if (found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT) {
		if (use == TOA_USE_ALL) {
			found = merge_client(reading, set, found, state->syn_verdict != VERDICT_PENDING,
					     state->syn_verdict == VERDICT_CONFLICT, &state->client);
		} else if (to) {
			struct toa_client *client = &to->client[answer_of(use)];

			found = merge_client(reading, set, found, client->family, false, client);
		}
	}
	if (length && use == TOA_USE_ALL)
		take_virtual(reading, set, found, to);
	bpf_spin_unlock(&reading->lock);
	return found;
}

/*
 * The same for the SYN, which the kernel has kept where the listener was told to (TCP_SAVE_SYN).
 * One that made the socket by itself, by Fast Open, is no different from other segments.
 */
__noinline int parse_syn(struct bpf_sock_ops *ctx, __u32 use)
{
	const struct settings *set = current_settings();
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	__u8 syn[TCP_HEADER + TOA_OPTIONS_MAX] = {};
	struct bpf_sock *sk = ctx->sk;
	struct socket_answers *to;
	struct socket_state *state;
	struct reading *reading;
	int found;
	long size;

	if (!sk || !set || (segment + TCP_HEADER <= end && segment[TCP_FLAGS_AT] & TCP_FLAG_SYN))
		return TOA_FOUND_NONE;
	state = bpf_sk_storage_get(&sockets, sk, 0, 0);
	reading = this_reading();
	if (!state || !reading)
		return TOA_FOUND_NONE;
	to = make_answers(set, sk);
	size = bpf_getsockopt(ctx, IPPROTO_TCP, TCP_BPF_SYN, syn, sizeof(syn));
	if (size == -ENOENT && use == TOA_USE_ALL)
		count_drop(DROP_SYN_MISSING);
	if (size <= TCP_HEADER || size > (long)sizeof(syn))
		return TOA_FOUND_NONE;
	bpf_spin_lock(&reading->lock);
	__builtin_memcpy(reading->list.bytes, syn + TCP_HEADER, TOA_OPTIONS_MAX);
	reading->list.length = size - TCP_HEADER;
	reading->list.of_syn = TOA_SYN_HANDSHAKE;
	reading->list.use = use;
	found = find_client_option(reading, set, state);
	if (use == TOA_USE_ALL)
		take_virtual(reading, set, found, to);
	if (found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT) {
		if (use == TOA_USE_ALL)
			state->client = reading->client;
		else if (to)
			to->client[answer_of(use)] = reading->client;
	}
	bpf_spin_unlock(&reading->lock);
	return found;
}

/*
 * Does the segment acknowledge bytes that were sent? The kernel throws away those that do not (tcp_ack(),
 * RFC 9293 section 3.10.7.4), but after this callback; who forges a segment would need the client's numbers alone.
 */
static __always_inline bool acceptable_ack(struct bpf_sock_ops *ctx, const struct tcp_sock *tcp)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;
	__u32 first = tcp->snd_una - (__u32)tcp->bytes_acked, ack;

	if (segment + TCP_HEADER > end)
		return false;
	__builtin_memcpy(&ack, segment + TCP_ACK_AT, sizeof(ack));
	return bpf_ntohl(ack) - first <= tcp->snd_nxt - first;
}

static __always_inline __u8 segment_kind(struct bpf_sock_ops *ctx)
{
	__u8 *segment = ctx->skb_data, *end = ctx->skb_data_end;

	if (segment + TCP_HEADER > end)
		return SEGMENT_ACK;
	if (segment[TCP_FLAGS_AT] & TCP_FLAG_SYN)
		return SEGMENT_SYN;
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return SEGMENT_ACK;
	return ctx->skb_len > header_bytes(segment) ? SEGMENT_DATA : SEGMENT_ACK;
}

/* What a found option means: whether its sender may be believed. Not inlined: the stack of those who call is full on 5.10. */
static __noinline __u8 judge(const struct subject *on, int found)
{
	if (!peer_trusted(on))
		return VERDICT_UNTRUSTED;
	return found == TOA_FOUND_CONFLICT ? VERDICT_CONFLICT : VERDICT_TOA;
}

static __always_inline bool option_found(const struct subject *on, int found)
{
	if (found == TOA_FOUND_MALFORMED)
		on->state->saw_malformed = 1;
	return found == TOA_FOUND_ONE || found == TOA_FOUND_CONFLICT || found == FOUND_ON_SYN;
}

/* What the option on the SYN is worth, should no later segment have one; VERDICT_PENDING: it has none. */
static __always_inline __u8 syn_verdict(const struct subject *on, int found)
{
	return option_found(on, found) ? judge(on, found) : VERDICT_PENDING;
}

/*
 * Has the kernel keep the SYNs of a listener whose connections may have a port that is watched: its own, or, through
 * TPROXY, any. An application may want them itself: what it set stays as it is.
 */
static __always_inline void keep_syns(struct bpf_sock_ops *ctx)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp;
	int on = 1;

	if (from_module || !set || !set->read_syn || !sk)
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || !(port_watched(set, ctx->local_port) || is_transparent(tcp)) ||
	    !namespace_watched(set, &tcp->inet_conn.icsk_inet.sk.__sk_common) ||
	    BPF_CORE_READ_BITFIELD(tcp, save_syn))
		return;
	/* the mark first: SYNs kept without it would be kept also when we are gone */
	if (!bpf_sk_storage_get(&syn_kept, sk, 0, BPF_SK_STORAGE_GET_F_CREATE)) {
		count_drop(DROP_SYN_NOT_KEPT);
	} else if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on))) {
		bpf_sk_storage_delete(&syn_kept, sk);
		count_drop(DROP_SYN_NOT_KEPT);
	}
}

/*
 * Asks for the callbacks that the rest of the connection takes. Other programs may want the
 * same: flags are added, and only what we added is taken away.
 */
static __always_inline void watch(struct bpf_sock_ops *ctx, struct socket_state *state)
{
	__u32 flags = ctx->bpf_sock_ops_cb_flags, wanted = BPF_SOCK_OPS_STATE_CB_FLAG;

	if (state->verdict == VERDICT_PENDING) {
		wanted |= BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
		state->parse_flag = !(flags & BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
	}
	bpf_sock_ops_cb_flags_set(ctx, flags | wanted);
}

static __always_inline void stop_options(struct bpf_sock_ops *ctx, struct socket_state *state)
{
	if (!state->parse_flag)
		return;
	state->parse_flag = 0;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

#endif
