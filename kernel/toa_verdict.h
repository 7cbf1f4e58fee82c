/* SPDX-License-Identifier: GPL-2.0-only */
/* The verdict on a connection: what the hooks report, and what follows from it. */
#ifndef TOA_VERDICT_H
#define TOA_VERDICT_H

#include <linux/types.h>
#include "toa_rules.h"

struct sock;
struct sk_buff;

/*
 * All of these run with the socket locked or, for a new socket, before any other code can reach it;
 * with preemption disabled; with interrupts on or off. They do nothing that sleeps, and take only
 * raw locks.
 */

/*
 * This segment created a child socket. Returns false if the socket has no object; that is counted
 * when the connection is established.
 */
bool toa_connection_opened(struct sock *sk, const struct sk_buff *skb);

/*
 * The connection is ready for its application. If no hook has seen it, it gets its object here at
 * the latest: options on later segments count.
 */
void toa_connection_established(const struct sock *sk);

/*
 * Returns whether a connection has its object: it was opened, and has a client, can get one, or is
 * being established.
 */
bool toa_connection_known(const struct sock *sk);

/* A segment for an existing socket; for most sockets, the verdict is not pending. */
void toa_segment_arrived(struct sock *sk, const struct sk_buff *skb);

/*
 * No more segments arrive, so the verdict is decided. The application can still ask for the client.
 */
void toa_connection_closed(const struct sock *sk);

/* The socket is reused for another connection. */
void toa_connection_gone(const struct sock *sk);

/* The socket is destroyed. */
void toa_socket_gone(const struct sock *sk);

#endif
