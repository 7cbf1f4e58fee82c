/* SPDX-License-Identifier: GPL-2.0-only */
/* Parses the options of a segment, and those of the SYN, into the connection's entry. */
#ifndef TOASCOPE_PARSE_H
#define TOASCOPE_PARSE_H

#include "fast_parse.h"

static __always_inline __u32 answer_of(__u32 use)
{
	return use == TOA_USE_PEERNAME ? ANSWER_PEERNAME : ANSWER_SOCKOPT;
}

/* Stores the client that fast_parse() finds in the connection's entry. Returns its result. */
static __noinline int fast_parse_and_store(struct bpf_sock_ops *ctx, const struct settings *set,
					   struct connection *connection, __u64 cookie)
{
	struct parsed parsed = {};
	int found = fast_parse(ctx, set, &parsed.client);

	if (found == TOA_FOUND_ONE)
		store_list(connection, cookie, found, &parsed);
	return found;
}

/*
 * Returns the verdict on the SYN, and its client. A separate function, so that the verifier forgets
 * in which slot the entry was found.
 */
static __noinline int syn_client(struct bpf_sock *sk, __u64 cookie, struct toa_client *client)
{
	const struct connection *connection = find_connection(sk, cookie);

	if (!connection)
		return TOA_VERDICT_PENDING;
	*client = connection->client;
	return connection->syn_verdict;
}

/* Stores the virtual server in the socket's answers, and the rest in the connection's entry. */
static __always_inline void store_parsed(struct bpf_sock *sk, __u64 cookie, int found,
					 const struct parsed *parsed, struct socket_answers *to)
{
	struct connection *connection;

	store_virtual(found, parsed, to);
	connection = found || parsed->unknown_kind ? find_connection(sk, cookie) : 0;
	if (connection)
		store_list(connection, cookie, found, parsed);
}

/*
 * Parses the segment's options. Returns enum toa_found. The client goes into the connection's entry
 * or, if `use` is not TOA_USE_ALL, into the socket's answers, where it replaces one from the SYN.
 */
__noinline int parse_segment(struct bpf_sock_ops *ctx, __u32 use)
{
	struct parse_scratch *scratch = this_scratch();
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct toa_client on_syn = {}, *of_use;
	__u8 syn_verdict = TOA_VERDICT_PENDING;
	int found = TOA_FOUND_NONE;
	struct bpf_sock *sk = ctx->sk;
	struct parsed parsed = {};
	struct socket_answers *to;

	if (!sk || !set || !scratch)
		return TOA_FOUND_NONE;
	bpf_spin_lock(&scratch->lock);
	if (copy_list(ctx, scratch, use))
		found = parse_list(scratch, set, &parsed);
	bpf_spin_unlock(&scratch->lock);
	to = get_or_create_answers(set, sk);
	if (use != TOA_USE_ALL) {
		if (!to || !toa_names_client(found))
			return found;
		of_use = &to->client[answer_of(use)];
		if (of_use->family)
			found = toa_merge_found(&set->table, of_use, TOA_VERDICT_PENDING, &parsed.client,
						found);
		if (found != TOA_FOUND_ON_SYN)
			*of_use = parsed.client;
		return found;
	}
	if (set->read_syn && toa_names_client(found))
		syn_verdict = syn_client(sk, cookie, &on_syn);
	if (syn_verdict != TOA_VERDICT_PENDING)
		found = toa_merge_found(&set->table, &on_syn, syn_verdict, &parsed.client, found);
	store_parsed(sk, cookie, found, &parsed, to);
	return found;
}

/*
 * Parses the options of the saved SYN into the connection's entry or, for a single use, into the
 * socket's answers. Returns enum toa_found.
 */
__noinline int parse_syn(struct bpf_sock_ops *ctx, __u32 use)
{
	__u8 syn[TCP_HEADER + TOA_OPTIONS_MAX] = {};
	struct parse_scratch *scratch = this_scratch();
	const struct settings *set = current_settings();
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct parsed parsed = {};
	struct socket_answers *to;
	long size;
	int found;

	if (!sk || !set || !scratch)
		return TOA_FOUND_NONE;
	to = get_or_create_answers(set, sk);
	size = read_syn(ctx, syn);
	if (size == -ENOENT && use == TOA_USE_ALL)
		count_drop(DROP_SYN_MISSING);
	if (size <= TCP_HEADER)
		return TOA_FOUND_NONE;
	bpf_spin_lock(&scratch->lock);
	copy_syn(scratch, syn, size, use);
	found = parse_list(scratch, set, &parsed);
	bpf_spin_unlock(&scratch->lock);
	if (use != TOA_USE_ALL) {
		if (to && toa_names_client(found))
			to->client[answer_of(use)] = parsed.client;
		return found;
	}
	store_parsed(sk, cookie, found, &parsed, to);
	return found;
}

#endif
