/* SPDX-License-Identifier: GPL-2.0-only */
/* Options on SYNs, kept until the connection is created. */
#ifndef TOA_SYN_H
#define TOA_SYN_H

#include <linux/types.h>

struct sock;
struct sk_buff;
struct toa_client;

/* Creates the table, once, because a profile is looked for on the SYN. */
int toa_syn_setup(void);
void toa_syn_teardown(void);

/* A SYN has arrived at a listener. */
void toa_syn_arrived(const struct sock *listener, const struct sk_buff *skb);

/*
 * Takes out what was kept for the SYN of a connection that has not received data: a verdict with a
 * client, or untrusted, and the client; TOA_VERDICT_MALFORMED; or TOA_VERDICT_PENDING if nothing
 * was.
 */
u8 toa_syn_take(const struct sock *child, struct toa_client *client);

#endif
