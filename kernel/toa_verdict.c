// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the segment that creates the socket to the verdict, by the rules of toa_rules.h.
 */
#include <linux/irqflags.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "toa_count.h"
#include "toa_segment.h"
#include "toa_store.h"
#include "toa_syn.h"
#include "toa_trace.h"
#include "toa_verdict.h"

/*
 * Trace events must not be dropped. The kernel does not call a BPF program on a tracepoint while
 * the same program is running on this CPU (prog->active, from 6.1 on), and a program's update of a
 * hash can find the lock of its bucket in use on this CPU (EBUSY). A segment from a socket's
 * backlog is handled with softirqs enabled, so the next segment could interrupt it; a real-time
 * kernel preempts softirqs, and from 7.0 on also programs on tracepoints. With interrupts off,
 * neither can happen: only NMIs are left, and they handle no segment. Disabling bottom halves is
 * not enough: enabling them runs what is pending in the middle of a probe, where the kernel calls
 * no other probe; and real-time kernels no longer have such a lock.
 */
#define toa_trace_irqsafe(event, ...)           \
	do {                                    \
		unsigned long irqs;             \
                                                \
		if (!trace_##event##_enabled()) \
			break;                  \
		local_irq_save(irqs);           \
		trace_##event(__VA_ARGS__);     \
		local_irq_restore(irqs);        \
	} while (0)

/*
 * Decides the verdict, once. A connection without a client no longer needs its object: later
 * segments and getsockopt() find none, and that is the right answer. But the object is kept until
 * the socket is established, because later hooks treat a socket without an object as missed. A
 * per-CPU note of the last socket would not work: a real-time kernel can handle other handshakes in
 * between.
 */
static void decide(struct toa_connection *connection, u8 verdict, u8 segment)
{
	struct toa_client client;
	unsigned long flags;

	raw_spin_lock_irqsave(&connection->lock, flags);
	connection->verdict = verdict;
	connection->segment = segment;
	client = connection->client;
	raw_spin_unlock_irqrestore(&connection->lock, flags);

	toa_count(TOA_COUNT_TOA + verdict - TOA_VERDICT_TOA);
	if (toa_has_client(verdict)) {
		toa_count(TOA_COUNT_ON_SYN + segment - TOA_SEGMENT_SYN);
		toa_trace_irqsafe(toa_peer, connection->sk, &client, segment, verdict);
	} else {
		toa_trace_irqsafe(toa_no_peer, connection->sk, segment, verdict);
		if (connection->sk->sk_state != TCP_SYN_RECV)
			toa_store_del(connection);
	}
}

/* No segment after the SYN had an option, so that of the SYN counts. */
static void decide_without_option(struct toa_connection *connection)
{
	u8 segment, verdict = toa_verdict_without_option(connection->syn_verdict, connection->saw_malformed,
							 &segment);

	decide(connection, verdict, segment);
}

static void trace_pending(const struct toa_connection *connection)
{
	toa_trace_irqsafe(toa_pending, connection->sk, &connection->client, connection->syn_verdict,
			  connection->saw_malformed, connection->unknown.kind, connection->unknown.length);
}

/*
 * An option here overrides one on the SYN, unless that has a higher priority. What is known is
 * reported once, at the segment that brought it: no sockops callback might run for a segment
 * without options, and then nothing takes the report.
 */
static void read_segment(struct toa_connection *connection, const struct sk_buff *skb, u8 segment,
			 bool is_new)
{
	const struct toa_unknown unknown = connection->unknown;
	struct toa_client client = {};
	u32 found = toa_segment_find(skb, false, &client, &connection->unknown);
	unsigned long flags;

	if (found == TOA_FOUND_MALFORMED && !connection->saw_malformed) {
		connection->saw_malformed = true;
		is_new = true;
	}
	if (connection->unknown.kind != unknown.kind || connection->unknown.length != unknown.length)
		is_new = true;
	if (!toa_names_client(found)) {
		if (is_new)
			trace_pending(connection);
		return;
	}
	if (connection->syn_verdict != TOA_VERDICT_PENDING) {
		found = toa_segment_merge(&connection->client, connection->syn_verdict, &client, found);
		if (found == TOA_FOUND_ON_SYN) {
			decide(connection, connection->syn_verdict, TOA_SEGMENT_SYN);
			return;
		}
	}
	raw_spin_lock_irqsave(&connection->lock, flags);
	connection->client = client;
	raw_spin_unlock_irqrestore(&connection->lock, flags);
	decide(connection, toa_segment_verdict(skb, found), segment);
}

/*
 * Takes the verdict and the client of the connection's SYN out of the table. Returns whether the
 * SYN had an option.
 */
static bool read_syn(struct toa_connection *connection)
{
	struct toa_client client;
	unsigned long flags;
	u8 verdict = toa_syn_take(connection->sk, &client);

	if (verdict == TOA_VERDICT_MALFORMED) {
		connection->saw_malformed = true;
	} else if (verdict != TOA_VERDICT_PENDING) {
		raw_spin_lock_irqsave(&connection->lock, flags);
		connection->syn_verdict = verdict;
		connection->client = client;
		raw_spin_unlock_irqrestore(&connection->lock, flags);
	}
	return verdict != TOA_VERDICT_PENDING;
}

bool toa_connection_opened(struct sock *sk, const struct sk_buff *skb)
{
	struct toa_connection *connection;

	rcu_read_lock();
	connection = toa_store_add(sk, false);
	/* a Fast Open SYN, which creates the socket, is read like any other segment */
	if (connection && tcp_hdr(skb)->syn)
		read_segment(connection, skb, TOA_SEGMENT_SYN, false);
	else if (connection)
		read_segment(connection, skb, TOA_SEGMENT_ACK, read_syn(connection));
	rcu_read_unlock();
	return connection;
}

/* Returns whether the object was kept only for the hooks. */
static bool is_left_over(const struct toa_connection *connection)
{
	return connection->verdict != TOA_VERDICT_PENDING && !toa_has_client(connection->verdict);
}

void toa_connection_established(const struct sock *sk)
{
	struct toa_connection *connection;

	rcu_read_lock();
	connection = toa_store_find(sk);
	if (!connection) {
		connection = toa_store_add(sk, true);
		if (connection) {
			toa_count(TOA_COUNT_REPAIRED);
			if (read_syn(connection))
				trace_pending(connection);
		}
	} else if (is_left_over(connection)) {
		toa_store_del(connection);
	}
	rcu_read_unlock();
}

bool toa_connection_known(const struct sock *sk)
{
	bool known;

	rcu_read_lock();
	known = toa_store_find(sk);
	rcu_read_unlock();
	return known;
}

void toa_segment_arrived(struct sock *sk, const struct sk_buff *skb)
{
	struct toa_connection *connection;

	rcu_read_lock();
	connection = toa_store_find(sk);
	if (!connection)
		goto out;
	if (is_left_over(connection))
		toa_store_del(connection);
	else if (connection->verdict != TOA_VERDICT_PENDING)
		goto out;
	else if (tcp_sk(sk)->bytes_received)
		decide_without_option(connection);
	else if (toa_segment_acceptable(sk, skb))
		read_segment(connection, skb, toa_segment_payload(skb) ? TOA_SEGMENT_DATA : TOA_SEGMENT_ACK,
			     false);
out:
	rcu_read_unlock();
}

void toa_connection_closed(const struct sock *sk)
{
	struct toa_connection *connection;

	rcu_read_lock();
	connection = toa_store_find(sk);
	if (connection && connection->verdict == TOA_VERDICT_PENDING)
		decide_without_option(connection);
	rcu_read_unlock();
}

void toa_connection_gone(const struct sock *sk)
{
	struct toa_connection *connection;

	toa_connection_closed(sk);
	rcu_read_lock();
	connection = toa_store_find(sk);
	if (connection)
		toa_store_del(connection);
	rcu_read_unlock();
}

void toa_socket_gone(const struct sock *sk)
{
	toa_connection_gone(sk);
	toa_trace_irqsafe(toa_gone, sk);
}
