/* SPDX-License-Identifier: GPL-2.0-only */
/* The verdict on a connection: it falls once. The numbers are those of bpf/records.h. */
#ifndef TOA_VERDICT_H
#define TOA_VERDICT_H

#include <linux/types.h>

struct sock;
struct sk_buff;

enum toa_verdict {
	TOA_VERDICT_PENDING = 0,
	TOA_VERDICT_TOA = 1,
	TOA_VERDICT_NONE = 2,
	TOA_VERDICT_MALFORMED = 3,
	TOA_VERDICT_UNTRUSTED = 4,
	TOA_VERDICT_CONFLICT = 5,
};

/* Where the option was found. */
enum toa_segment {
	TOA_SEGMENT_NONE = 0,
	TOA_SEGMENT_SYN = 1,
	TOA_SEGMENT_ACK = 2,
	TOA_SEGMENT_DATA = 3,
};

static inline bool toa_believed(u8 verdict)
{
	return verdict == TOA_VERDICT_TOA || verdict == TOA_VERDICT_CONFLICT;
}

/*
 * All of these run with the socket locked, or, for a new one, before anybody else has it; with preemption
 * disabled; with interrupts on or off. They take nothing that sleeps, and no lock that is not raw.
 */

/* A child socket was made by this segment. False: it has no object; that is counted when it is established. */
bool toa_connection_opened(struct sock *sk, const struct sk_buff *skb);

/*
 * It is ready for its application. One that no hook has seen gets its object here, at the latest: what is on later segments
 * counts.
 */
void toa_connection_established(const struct sock *sk);

/* Whether a connection has its object: it was opened, and has a peer or may get one, or is being established. */
bool toa_connection_known(const struct sock *sk);

/* A segment for a socket that is there; most of them are for sockets that nobody waits for. */
void toa_segment_arrived(struct sock *sk, const struct sk_buff *skb);

/* No more segments come: the verdict falls. The application may still ask who it was. */
void toa_connection_closed(const struct sock *sk);

/* The socket becomes another connection. */
void toa_connection_gone(const struct sock *sk);

/* The socket is no more. */
void toa_socket_gone(const struct sock *sk);

#endif
