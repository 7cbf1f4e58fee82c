// SPDX-License-Identifier: GPL-2.0-only
/* From the segment that makes the socket to the verdict: the rules are those of bpf/segments.h and verdict.h. */
#include <linux/irqflags.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "toa_segment.h"
#include "toa_stats.h"
#include "toa_store.h"
#include "toa_syn.h"
#include "toa_trace.h"
#include "toa_verdict.h"

/*
 * Nothing that is said may be lost. The kernel does not call a BPF program on a tracepoint while the same one runs on
 * this CPU (prog->active, from 6.1 on), and a program's update of a hash may find the lock of its bucket in use on this
 * CPU (EBUSY). A segment from a socket's backlog is handled with softirqs enabled, so the next one could interrupt; a
 * real-time kernel preempts softirqs, and from 7.0 on programs on tracepoints. With interrupts off neither can be: what
 * is left are NMIs, which handle no segment. To keep bottom halves off would not do: enabling them runs what waits, in
 * the middle of a probe, where the kernel calls no other probe; and real-time kernels have no such lock any more.
 */
#define toa_tell(event, ...)                    \
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
 * The verdict falls, once. A connection without a peer needs no object any more: no later segment finds one, and an
 * application that asks is told so. But while its socket is being made it keeps it, for the hooks that come after: what
 * has no object there was missed. No CPU could remember what it has just seen: a real-time kernel handles other
 * handshakes in between.
 */
static void settle(struct toa_connection *connection, u8 verdict, u8 segment)
{
	struct toa_client client;
	unsigned long flags;

	raw_spin_lock_irqsave(&connection->lock, flags);
	connection->verdict = verdict;
	connection->segment = segment;
	client = connection->client;
	raw_spin_unlock_irqrestore(&connection->lock, flags);

	toa_count(TOA_COUNT_TOA + verdict - TOA_VERDICT_TOA);
	if (toa_believed(verdict)) {
		toa_count(TOA_COUNT_ON_SYN + segment - TOA_SEGMENT_SYN);
		toa_tell(toa_peer, connection->sk, &client, segment, verdict);
	} else {
		toa_tell(toa_no_peer, connection->sk, segment, verdict);
		if (connection->sk->sk_state != TCP_SYN_RECV)
			toa_store_drop(connection);
	}
}

/* No segment after the SYN had an option: what was on the SYN counts. */
static void settle_without_option(struct toa_connection *connection)
{
	if (connection->syn_verdict != TOA_VERDICT_PENDING)
		settle(connection, connection->syn_verdict, TOA_SEGMENT_SYN);
	else
		settle(connection, connection->saw_malformed ? TOA_VERDICT_MALFORMED : TOA_VERDICT_NONE,
		       TOA_SEGMENT_NONE);
}

static void tell_pending(const struct toa_connection *connection)
{
	toa_tell(toa_pending, connection->sk, &connection->client, connection->syn_verdict,
		 connection->saw_malformed, connection->unknown.kind, connection->unknown.length);
}

/*
 * An option on the SYN loses to one here. What is known is told once, at the segment that brought it: one without
 * options may be of those that the kernel takes in without a sockops callback, and then nobody comes for it.
 */
static void read_segment(struct toa_connection *connection, const struct sk_buff *skb, u8 segment, bool news)
{
	const struct toa_unknown unknown = connection->unknown;
	struct toa_client client = {};
	enum toa_found found = toa_segment_find(skb, false, &client, &connection->unknown);
	unsigned long flags;

	if (found == TOA_FOUND_MALFORMED && !connection->saw_malformed) {
		connection->saw_malformed = true;
		news = true;
	}
	if (connection->unknown.kind != unknown.kind || connection->unknown.length != unknown.length)
		news = true;
	if (!toa_option_found(found)) {
		if (news)
			tell_pending(connection);
		return;
	}
	if (connection->syn_verdict != TOA_VERDICT_PENDING) {
		enum toa_merged merged = toa_segment_merge(&connection->client, &client);

		if (merged == TOA_MERGED_SYN) {
			settle(connection, connection->syn_verdict, TOA_SEGMENT_SYN);
			return;
		}
		if (merged == TOA_MERGED_CONFLICT ||
		    (merged == TOA_MERGED_SAME && connection->syn_verdict == TOA_VERDICT_CONFLICT))
			found = TOA_FOUND_CONFLICT;
	}
	raw_spin_lock_irqsave(&connection->lock, flags);
	connection->client = client;
	raw_spin_unlock_irqrestore(&connection->lock, flags);
	settle(connection, toa_segment_judge(skb, found), segment);
}

/* Whether its SYN said something. */
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
	/* a SYN that made the socket by itself, by Fast Open, is read as other segments are */
	if (connection && tcp_hdr(skb)->syn)
		read_segment(connection, skb, TOA_SEGMENT_SYN, false);
	else if (connection)
		read_segment(connection, skb, TOA_SEGMENT_ACK, read_syn(connection));
	rcu_read_unlock();
	return connection;
}

/* An object that has been kept for the hooks alone. */
static bool is_left_over(const struct toa_connection *connection)
{
	return connection->verdict != TOA_VERDICT_PENDING && !toa_believed(connection->verdict);
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
				tell_pending(connection);
		}
	} else if (is_left_over(connection)) {
		toa_store_drop(connection);
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
		toa_store_drop(connection);
	else if (connection->verdict != TOA_VERDICT_PENDING)
		goto out;
	else if (tcp_sk(sk)->bytes_received)
		settle_without_option(connection);
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
		settle_without_option(connection);
	rcu_read_unlock();
}

void toa_connection_gone(const struct sock *sk)
{
	struct toa_connection *connection;

	toa_connection_closed(sk);
	rcu_read_lock();
	connection = toa_store_find(sk);
	if (connection)
		toa_store_drop(connection);
	rcu_read_unlock();
}

void toa_socket_gone(const struct sock *sk)
{
	toa_connection_gone(sk);
	toa_tell(toa_gone, sk);
}
