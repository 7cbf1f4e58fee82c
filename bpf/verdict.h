/* SPDX-License-Identifier: GPL-2.0-only */
/* The verdict on a connection, and what follows from it. */
#ifndef TOASCOPE_VERDICT_H
#define TOASCOPE_VERDICT_H

#include "table.h"

/* May the sender be believed? */
static __always_inline bool peer_trusted(const struct subject *on)
{
	struct endpoint peer;

	peer_endpoint(on->sk, &peer);
	return trusted(on->set, &peer);
}

/*
 * Of one connection of a trusted peer; who looks why TOA does not arrive finds here what arrives instead. The places are
 * few: only those who are trusted may take them.
 */
static __always_inline void count_unknown(const struct subject *on)
{
	struct unknown_option key = { .kind = on->state->unknown_kind, .length = on->state->unknown_length };
	__u64 none = 0, *count;

	if (!key.kind)
		return;
	count = bpf_map_lookup_elem(&unknown_options, &key);
	if (!count) {
		bpf_map_update_elem(&unknown_options, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&unknown_options, &key);
	}
	if (count)
		add(*count, 1);
	else
		count_drop(DROP_UNKNOWN_OPTIONS_FULL);
}

static __always_inline void count_none(const struct subject *on)
{
	bool of_trusted = peer_trusted(on);

	on->state->health_check = count_without_option(on->listener, of_trusted, on->data);
	if (of_trusted)
		count_unknown(on);
}

/* accept() and getpeername() show the client, unless it is IPv6 and the socket's addresses are IPv4. */
static __always_inline bool hidden_by_family(const struct subject *on)
{
	const struct toa_client *client = &on->state->client;
	bool shown = !on->set->split_uses ||
		     on->set->table.uses[client->profile & (TOA_PROFILE_SLOTS - 1)] & TOA_USE_PEERNAME;
	__u8 family = on->state->peername_family ?: shown ? client->family : FAMILY_NONE;

	return family == FAMILY_IPV6 && on->sk->skc_family == AF_INET && on->set->transparent &&
	       port_transparent(on->set, on->sk->skc_num);
}

/*
 * The verdict falls, once: who comes second changes nothing. What was counted for the
 * listener while it was open goes to the client now. Where there is no lock, for who has the turn.
 */
static __noinline bool let_fall(struct subject *on, __u8 verdict, __u8 segment)
{
	struct socket_state *state = on->state;
	__u32 why = 0;
	struct client *client = believed(verdict) ? enter_client(on, &why) : 0;
	struct connection *connection = on->connection;
	struct traffic before = { .opened = 1 };
	__u64 of_verdict, of_segment;
	bool first;

	lock_state(state);
	first = state->verdict == VERDICT_PENDING;
	if (first) {
		state->verdict = verdict;
		state->segment = segment;
		state->in_overflow = believed(verdict) && !client;
		before.received_bytes = state->received;
		before.sent_bytes = state->sent;
		before.retransmitted_segments = state->retransmitted;
	}
	unlock_state(state);
	if (!first)
		return false;

	if (state->listener == OTHER_LISTENER)
		count_drop(DROP_LISTENERS_FULL);
	if (!believed(verdict)) {
		add_traffic(&on->listener->direct, &before);
	} else {
		if (!client)
			count_drop(why);
		credit(on, client, &before);
	}
	if (verdict == VERDICT_NONE)
		count_none(on);
	of_verdict = verdict;
	of_segment = segment - 1ULL;
	/* hidden from the compiler: it then checks and uses one register of 64 bits, as the verifier wants */
	asm volatile("" : "+r"(of_verdict), "+r"(of_segment));
	if (of_verdict < VERDICTS)
		add(on->listener->handshakes[of_verdict], 1);
	if (believed(verdict)) {
		__u32 profile = state->client.profile & (TOA_PROFILE_SLOTS - 1);

		if (of_segment < SEGMENTS)
			add(on->listener->options[profile][of_segment], 1);
		if (hidden_by_family(on))
			add(on->listener->hidden_by_family, 1);
	}
	/* a flush does not hold the socket: the place may have gone to another connection */
	if (connection && connection->cookie == state->cookie) {
		if (believed(verdict)) {
			connection->profile = state->client.profile;
			__builtin_memcpy(connection->client.address, state->client.address,
					 sizeof(connection->client.address));
			connection->client.port = state->client.port;
			connection->client.family = state->client.family;
			connection->in_overflow = state->in_overflow;
		}
		connection->segment = segment;
		asm volatile("" ::: "memory");
		connection->verdict = verdict;
		tell(on, EVENT_OPENED);
	}
	return true;
}

/* No segment after the SYN had an option: what was on the SYN counts. */
static __always_inline __u8 verdict_without_option(const struct socket_state *state, __u8 *segment)
{
	*segment = SEGMENT_NONE;
	if (state->syn_verdict == VERDICT_PENDING)
		return state->saw_malformed ? VERDICT_MALFORMED : VERDICT_NONE;
	*segment = SEGMENT_SYN;
	return state->syn_verdict;
}

static __always_inline void let_fall_without_option(struct subject *on)
{
	__u8 segment, verdict = verdict_without_option(on->state, &segment);

	let_fall(on, verdict, segment);
}

#endif
