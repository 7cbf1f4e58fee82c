/* SPDX-License-Identifier: GPL-2.0-only */
/* One object for each connection that has a peer, or may get one: found by its socket, freed with it. */
#ifndef TOA_STORE_H
#define TOA_STORE_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include "toa_option.h"
#include "toa_segment.h"
#include "toa_verdict.h"

struct toa_connection {
	struct hlist_node node;
	struct rcu_head rcu;
	const struct sock *sk;
	raw_spinlock_t lock; /* for what follows: the application may ask at any time */
	struct toa_client client;
	u8 verdict;
	u8 segment;
	u8 syn_verdict; /* what the option on the SYN is worth; TOA_VERDICT_PENDING: it had none */
	bool saw_malformed;
	struct toa_unknown unknown;
};

int toa_store_setup(void);

/* When no hook is left that could come here. */
void toa_store_teardown(void);

/*
 * Makes the object of a socket; one that a socket before it left behind goes. NULL: there are too many, or no memory.
 * Both are counted where nobody tries again (last). The caller holds the RCU read lock, as for all below.
 */
struct toa_connection *toa_store_add(const struct sock *sk, bool last);

struct toa_connection *toa_store_find(const struct sock *sk);

/* Takes the object out; it is freed when the last reader has gone. */
void toa_store_drop(struct toa_connection *connection);

/* How many there are. */
int toa_store_count(void);

#endif
