/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a connection counts for, and what of it has not been counted yet.
 *
 * Two count for one connection at the same time: callbacks, which hold the socket, and the
 * flush iterator, which does not. Under the state's lock, or in his turn (turns.h), each takes
 * the difference to what has been taken before and moves the mark; the sums are added after. A
 * byte is in exactly one difference.
 */
#ifndef TOASCOPE_ACCOUNT_H
#define TOASCOPE_ACCOUNT_H

#include "config.h"
#include "count.h"
#include "endpoint.h"
#include "turns.h"

/* Set before loading, by probe: are there connections of several paths (mptcp.h)? */
extern const volatile bool mptcp_helpers;

#define RTT_INTERVAL_NS 14000000000ULL /* flushes come every 5 s: at most one sample in 15 s */

static __always_inline bool believed(__u8 verdict)
{
	return verdict == VERDICT_TOA || verdict == VERDICT_CONFLICT;
}

/*
 * Does the application get the state's client to see? One from the SYN it does before the verdict:
 * accept() returns before the first data.
 */
static __always_inline bool client_known(const struct socket_state *state)
{
	return believed(state->verdict) ||
	       (state->verdict == VERDICT_PENDING && believed(state->syn_verdict));
}

/* What one run of a program is about. */
struct subject {
	const struct sock_common *sk;
	const struct settings *set;
	struct socket_state *state;
	struct listener *listener;
	struct connection *connection; /* its entry in the table for lookups, or 0 */
	__u64 now;
	bool data; /* the peer has sent data; valid where a verdict without option is recorded */
};

/*
 * The place of the listener. One that has an open connection keeps it; a further path of a connection (mptcp.h) may outlive
 * the first one, and then counts for "other" when the listener is folded.
 */
static __always_inline __u32 listener_of(const struct socket_state *state)
{
	__u32 place = state->listener;
	const struct listener_slot *slot;

	if (!mptcp_helpers || !state->joined)
		return place;
	slot = bpf_map_lookup_elem(&listener_keys, &place);
	return slot && *(const volatile __u32 *)&slot->service == state->listener_service ? place :
											    OTHER_LISTENER;
}

/* The listener's counters: of the place that its connection found when it opened. */
static __always_inline bool take_listener(struct subject *on)
{
	__u32 place = listener_of(on->state);

	on->listener = bpf_map_lookup_elem(&listeners, &place);
	return on->listener;
}

static __always_inline void client_key(const struct subject *on, struct client_key *key)
{
	const struct toa_client *client = &on->state->client;
	const struct prefix *prefix = &on->set->prefix[family_index(client->family)];
	const struct listener_slot *slot;
	__u32 place = on->state->listener;
	__u32 words[4];

	__builtin_memcpy(words, client->address, sizeof(words));
	words[0] &= prefix->mask[0];
	words[1] &= prefix->mask[1];
	words[2] &= prefix->mask[2];
	words[3] &= prefix->mask[3];
	__builtin_memcpy(key->address, words, sizeof(words));
	key->family = client->family;
	key->prefix_length = prefix->length;
	key->reserved = 0;
	__builtin_memset(&key->listener, 0, sizeof(key->listener));
	slot = bpf_map_lookup_elem(&listener_keys, &place);
	if (slot)
		__builtin_memcpy(&key->listener, &slot->key.local, sizeof(key->listener));
}

/*
 * The entry for a new connection; made while there is room. 0: `*why` is the reason (enum drop). The kernel may refuse it
 * (EBUSY, from 5.11 on), since this program has interrupted another that is in the table.
 *
 * One that has its tag now is whole until this run ends: who folds takes the tag away, and then waits for all runs
 * that had begun (fold.bpf.c). One that is deleted and used for another client in this moment has no tag, or another's.
 */
static __always_inline struct client *enter_client(const struct subject *on, __u32 *why)
{
	struct client fresh = { .created_ns = on->now };
	struct client_key key;
	struct client *client;

	client_key(on, &key);
	fresh.tag = client_tag(&key);
	client = bpf_map_lookup_elem(&clients, &key);
	*why = DROP_CLIENTS_FULL;
	if (!client) {
		if (bpf_map_update_elem(&clients, &key, &fresh, BPF_NOEXIST) == -EBUSY)
			*why = DROP_CLIENTS_BUSY;
		client = bpf_map_lookup_elem(&clients, &key);
	}
	if (client && *(volatile __u64 *)&client->tag != fresh.tag) {
		*why = DROP_CLIENT_FOLDING;
		return 0;
	}
	return client;
}

/*
 * Counts the verdict VERDICT_NONE by whether the peer is trusted, and whether it has sent data. Returns whether this is
 * what a balancer's health check looks like: whoever is trusted and has data to send should have sent an option.
 */
static __always_inline bool count_without_option(struct listener *listener, bool of_trusted, bool data)
{
	__u64 kind = (of_trusted ? WITHOUT_TRUSTED_NO_DATA : WITHOUT_UNTRUSTED_NO_DATA) + (data ? 1 : 0);

	/* hidden from the compiler: it then checks and uses one register of 64 bits, as the verifier wants */
	asm volatile("" : "+r"(kind));
	if (kind < WITHOUT_KINDS)
		add(listener->without_option[kind], 1);
	return of_trusted && !data;
}

/* Adds to the client, or to the listener's "other" where it has none. */
static __always_inline void credit(const struct subject *on, struct client *client,
				   const struct traffic *delta)
{
	if (!client) {
		add_traffic(&on->listener->overflow, delta);
		return;
	}
	client->active_ns = on->now;
	add_traffic(&client->traffic, delta);
}

/*
 * The same for the client of a connection that is open, or closes in this run. What was opened in an entry ends there, also
 * while it is being folded: that lets it live then. A further path (mptcp.h) may outlive the first one: its client may have
 * left the table, as enter_client() finds out. Not inlined: the stack of those who call is full on 5.10.
 */
static __noinline int credit_client(const struct subject *on, const struct traffic *delta)
{
	struct client *client = 0;
	struct client_key key;

	if (!on->state->in_overflow && listener_of(on->state) == on->state->listener) {
		client_key(on, &key);
		client = bpf_map_lookup_elem(&clients, &key);
		if (mptcp_helpers && on->state->joined && client &&
		    *(volatile __u64 *)&client->tag != client_tag(&key))
			client = 0;
	}
	credit(on, client, delta);
	return 0;
}

/* Adds to the connection's client, or to what stands for it. The verdict has fallen. */
static __always_inline void attribute(const struct subject *on, const struct traffic *delta)
{
	if (believed(on->state->verdict))
		credit_client(on, delta);
	else
		add_traffic(&on->listener->direct, delta);
}

/* A raw count includes the FIN from the moment that it is in order (tcp_queue_rcv()) or acknowledged. */
static __always_inline bool fin_received(const struct tcp_sock *tcp)
{
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >> SOCK_DONE & 1;
}

/*
 * The state says that a FIN is to be sent a moment before it is queued (tcp_close_state(), then
 * tcp_send_fin()): who does not hold the socket may take all that was sent for acknowledged too
 * early, and then leaves out one byte until the next look; or none at all has been sent.
 */
static __always_inline bool fin_acknowledged(const struct tcp_sock *tcp, int tcp_state)
{
	const int sent = 1 << BPF_TCP_FIN_WAIT1 | 1 << BPF_TCP_FIN_WAIT2 | 1 << BPF_TCP_CLOSING |
			 1 << BPF_TCP_LAST_ACK | 1 << BPF_TCP_TIME_WAIT;

	return sent >> (tcp_state & 15) & 1 && tcp->bytes_acked && tcp->snd_una == tcp->write_seq;
}

/* For those who hold the socket: exact. tcp_state is the one before a change. */
static __always_inline void read_progress(const struct tcp_sock *tcp, int tcp_state, struct progress *to)
{
	to->received = tcp->bytes_received - fin_received(tcp);
	to->sent = tcp->bytes_acked - fin_acknowledged(tcp, tcp_state);
	to->retransmitted = tcp->total_retrans;
	to->srtt_us = tcp->srtt_us;
}

/*
 * For the flush, which does not hold the socket: between the count of a FIN and the mark
 * that tells of it a reader would take the FIN for a byte. So what was seen at the flush
 * before is taken, now that the mark has had seconds to appear.
 */
static __always_inline void read_progress_unlocked(const struct tcp_sock *tcp, int tcp_state,
						   struct socket_state *state, struct progress *to)
{
	bool received_fin = fin_received(tcp), acknowledged_fin = fin_acknowledged(tcp, tcp_state);
	__u64 received, acked;

	asm volatile("" ::: "memory");
	received = tcp->bytes_received;
	acked = tcp->bytes_acked;
	to->received = received_fin ? received - 1 : state->seen_received;
	to->sent = acknowledged_fin ? acked - 1 : state->seen_acked;
	to->retransmitted = tcp->total_retrans;
	to->srtt_us = tcp->srtt_us;
	state->seen_received = received;
	state->seen_acked = acked;
}

/* Who has the turn needs no lock. */
static __always_inline void lock_state(struct socket_state *state)
{
	if (tracing_locks)
		bpf_spin_lock(&state->lock);
}

static __always_inline void unlock_state(struct socket_state *state)
{
	if (tracing_locks)
		bpf_spin_unlock(&state->lock);
}

/* Takes what is new. The state is locked. */
static __always_inline void take(struct socket_state *state, const struct progress *now,
				 struct traffic *delta)
{
	if (now->received > state->received) {
		delta->received_bytes = now->received - state->received;
		state->received = now->received;
	}
	if (now->sent > state->sent) {
		delta->sent_bytes = now->sent - state->sent;
		state->sent = now->sent;
	}
	if (now->retransmitted > state->retransmitted) {
		delta->retransmitted_segments = now->retransmitted - state->retransmitted;
		state->retransmitted = now->retransmitted;
	}
}

static __always_inline void take_rtt(struct socket_state *state, const struct progress *now, __u64 now_ns,
				     bool last, struct traffic *delta)
{
	if (!now->srtt_us || (!last && now_ns - state->rtt_sampled_ns < RTT_INTERVAL_NS))
		return;
	state->rtt_sampled_ns = now_ns;
	delta->rtt_sum_ns = now->srtt_us * 125ULL;
	delta->rtt_count = 1;
}

#endif
