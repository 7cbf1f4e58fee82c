/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One object for each connection that has or can get a client: found by its socket, freed with it.
 */
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
	raw_spinlock_t lock; /* for the fields below: the application can ask at any time */
	struct toa_client client;
	u8 verdict;
	u8 segment;
	u8 syn_verdict; /* verdict on the SYN's option; TOA_VERDICT_PENDING: it had none */
	bool saw_malformed;
	struct toa_unknown unknown;
};

int toa_store_setup(void);

/* Runs when no hook is left that could use the store. */
void toa_store_teardown(void);

/*
 * Creates the object of a socket, and deletes one that an earlier socket left behind. NULL: there
 * are too many objects, or no memory. Either is counted if no later hook will try again (last). The
 * caller holds the RCU read lock, as for all functions below.
 */
struct toa_connection *toa_store_add(const struct sock *sk, bool last);

struct toa_connection *toa_store_find(const struct sock *sk);

/* Removes the object, which is freed when its last reader has finished. */
void toa_store_del(struct toa_connection *connection);

/* Returns how many objects there are. */
int toa_store_count(void);

#endif
