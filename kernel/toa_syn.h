/* SPDX-License-Identifier: GPL-2.0-only */
/* Options on SYNs, kept until the connection is made. */
#ifndef TOA_SYN_H
#define TOA_SYN_H

#include <linux/types.h>

struct sock;
struct sk_buff;
struct toa_client;

/* While a profile is looked for on the SYN. Makes the table, once. */
int toa_syn_setup(void);
void toa_syn_teardown(void);

/* A SYN has come to a listener. */
void toa_syn_arrived(const struct sock *listener, const struct sk_buff *skb);

/*
 * Takes out what the SYN of a connection said that has not received data: a believed verdict, or untrusted, and the
 * client; TOA_VERDICT_MALFORMED; or TOA_VERDICT_PENDING: nothing.
 */
u8 toa_syn_take(const struct sock *child, struct toa_client *client);

#endif
