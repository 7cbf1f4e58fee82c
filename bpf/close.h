/* SPDX-License-Identifier: GPL-2.0-only */
/* Closes a connection: writes its last sums into its entry, for a sweep to count. */
#ifndef TOASCOPE_CLOSE_H
#define TOASCOPE_CLOSE_H

#include "fin.h"
#include "verdict.h"

/*
 * Returns the errno that ends the connection; 0: none. The kernel sets the socket's error before the
 * state: ECONNRESET, or EPIPE after the peer's FIN, for a reset from the peer (tcp_reset()), and
 * ETIMEDOUT or a routing error where retransmissions are given up (tcp_write_err()). A server that
 * closes without a FIN resets the connection itself (tcp_close() with unread data, SO_LINGER 0):
 * ECONNABORTED. Once the server has sent its FIN, only a time-out is an error: the kernel itself
 * answers data that arrives after close() with a reset, and sets the same error for it.
 */
static __always_inline __u16 end_error(const struct tcp_sock *tcp, int tcp_state)
{
	int error = tcp->inet_conn.icsk_inet.sk.sk_err;

	if (is_after_fin(tcp_state))
		return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH ? error : 0;
	if (error == EPIPE)
		return ECONNRESET;
	return error ? error : ECONNABORTED;
}

/*
 * For callbacks, which hold the socket, so that the values are exact. `tcp_state` is the state
 * before the change.
 */
static __always_inline void read_progress(const struct tcp_sock *tcp, int tcp_state, struct progress *to)
{
	to->received = tcp->bytes_received - fin_received(tcp);
	to->sent = tcp->bytes_acked - fin_acknowledged(tcp, tcp_state);
	to->retransmitted = tcp->total_retrans;
	to->srtt_us = tcp->srtt_us;
}

/* Returns what else is known of a connection without an option: CONN_TRUSTED, CONN_DATA. */
static __always_inline __u16 flags_without_option(const struct settings *set, const struct tcp_sock *tcp)
{
	return (peer_trusted(set, &tcp->inet_conn.icsk_inet.sk.__sk_common) ? CONN_TRUSTED : 0) |
	       (tcp->bytes_received > fin_received(tcp) ? CONN_DATA : 0);
}

/* The caller holds the entry's lock. */
static __always_inline void write_last(struct connection *connection, const struct progress *last, __u64 now,
				       __u16 error)
{
	connection->received_bytes = last->received;
	connection->sent_bytes = last->sent;
	connection->retransmitted_segments = last->retransmitted;
	connection->srtt_us = last->srtt_us;
	connection->error = error;
	connection->closed_ns = now;
	connection->state = SLOT_CLOSED;
}

/*
 * Returns how long the connection waited for accept(); if it was never accepted, until `never_ns`.
 * 0: accepts are not observed, this one was not, or accept() is writing it at this moment.
 */
static __always_inline __u64 accept_wait_ns(const struct settings *set, const struct connection *connection,
					    __u64 never_ns)
{
	__u64 accepted_ns = connection->accepted_ns;
	__u8 kind = connection->accept_kind;

	if (!set || set->no_accepts)
		return 0;
	if (kind == ACCEPT_FEXIT || kind == ACCEPT_GETPEERNAME)
		return accepted_ns > connection->opened_ns ? accepted_ns - connection->opened_ns : 0;
	return never_ns ? never_ns - connection->opened_ns : 0;
}

/*
 * A socket that has a struct socket was accepted (sock_graft()). If neither accept program observed
 * that, it counts as unobserved, and lookups name the listener's owner.
 */
static __always_inline void record_unobserved_accept(struct connection *connection, __u64 cookie)
{
	bpf_spin_lock(&connection->lock);
	if (is_open(connection, cookie) && !connection->accept_kind)
		connection->accept_kind = ACCEPT_UNOBSERVED;
	bpf_spin_unlock(&connection->lock);
}

/* Not inlined, to keep its stack frame out of its caller's: a chain of calls has 512 bytes. */
static __noinline int close_connection(const struct tcp_sock *tcp, struct connection *connection,
				       __u64 cookie, int tcp_state)
{
	const struct settings *set = current_settings();
	bool was_accepted = tcp->inet_conn.icsk_inet.sk.sk_socket, closed;
	struct listener_slot *listener;
	__u32 slot = connection->listener;
	__u64 now = bpf_ktime_get_ns();
	struct sample_facts facts = {};
	struct progress last;
	struct reserved_event reserved;
	__u16 error = end_error(tcp, tcp_state);

	read_progress(tcp, tcp_state, &last);
	facts.retransmitted = last.retransmitted;
	facts.accept_wait_ns = accept_wait_ns(set, connection, was_accepted ? 0 : now);
	reserved = reserve_event(set, connection, cookie, EVENT_CLOSED, &facts);
	bpf_spin_lock(&connection->lock);
	closed = is_open(connection, cookie);
	if (closed) {
		if (was_accepted && !connection->accept_kind && set && !set->no_accepts)
			connection->accept_kind = ACCEPT_UNOBSERVED;
		write_last(connection, &last, now, error);
		copy_to_event(&reserved, connection);
	}
	bpf_spin_unlock(&connection->lock);
	listener = bpf_map_lookup_elem(&listener_keys, &slot);
	if (listener)
		touch_listener(listener, now);
	finish_event(&reserved, closed);
	return closed;
}

#endif
