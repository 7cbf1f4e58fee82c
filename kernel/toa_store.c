// SPDX-License-Identifier: GPL-2.0-only
/*
 * The objects of the connections: a hash table keyed by socket, with readers under RCU and writers
 * under raw locks.
 */
#define pr_fmt(fmt) "TOA: " fmt

#include <linux/atomic.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include "toa_count.h"
#include "toa_pool.h"
#include "toa_store.h"

#define LOCKS 256
#define BUCKETS_MIN 1024
#define BUCKETS_MAX 262144

static unsigned int connections_max = 1048576;
module_param_named(connections, connections_max, uint, 0444);
MODULE_PARM_DESC(
	connections,
	"Connections that can have a client at the same time, 128 bytes each (default: 1048576). Further connections continue without TOA.");

static struct hlist_head *buckets;
static unsigned int bucket_bits;
static raw_spinlock_t locks[LOCKS];
static atomic_t connections;

static u32 bucket_of(const struct sock *sk)
{
	return hash_ptr(sk, bucket_bits);
}

static raw_spinlock_t *lock_of(u32 bucket)
{
	return &locks[bucket % LOCKS];
}

int toa_store_setup(void)
{
	unsigned int wanted = clamp_t(unsigned int, connections_max / 4, BUCKETS_MIN, BUCKETS_MAX);
	int i, err;

	err = toa_pool_setup();
	if (err)
		return err;
	bucket_bits = order_base_2(wanted);
	buckets = kvcalloc(1UL << bucket_bits, sizeof(*buckets), GFP_KERNEL);
	if (!buckets) {
		toa_pool_teardown();
		return -ENOMEM;
	}
	for (i = 0; i < LOCKS; i++)
		raw_spin_lock_init(&locks[i]);
	return 0;
}

void toa_store_teardown(void)
{
	struct toa_connection *connection;
	struct hlist_node *next;
	u32 bucket;

	for (bucket = 0; bucket < 1U << bucket_bits; bucket++)
		hlist_for_each_entry_safe(connection, next, &buckets[bucket], node)
			toa_store_del(connection);
	toa_pool_teardown();
	kvfree(buckets);
}

struct toa_connection *toa_store_find(const struct sock *sk)
{
	struct toa_connection *connection;

	hlist_for_each_entry_rcu(connection, &buckets[bucket_of(sk)], node)
		if (connection->sk == sk)
			return connection;
	return NULL;
}

struct toa_connection *toa_store_add(const struct sock *sk, bool last)
{
	struct toa_connection *connection = toa_store_find(sk);
	u32 bucket = bucket_of(sk);
	unsigned long flags;

	if (connection) {
		toa_count(TOA_COUNT_STALE);
		toa_store_del(connection);
	}
	if (atomic_inc_return(&connections) > connections_max) {
		if (last)
			toa_count(TOA_COUNT_FULL);
		goto uncount;
	}
	connection = toa_pool_alloc();
	if (!connection) {
		if (last)
			toa_count(TOA_COUNT_NO_MEMORY);
		goto uncount;
	}
	memset(connection, 0, sizeof(*connection));
	raw_spin_lock_init(&connection->lock);
	connection->sk = sk;
	raw_spin_lock_irqsave(lock_of(bucket), flags);
	hlist_add_head_rcu(&connection->node, &buckets[bucket]);
	raw_spin_unlock_irqrestore(lock_of(bucket), flags);
	toa_count(TOA_COUNT_ALLOCATED);
	return connection;

uncount:
	atomic_dec(&connections);
	return NULL;
}

void toa_store_del(struct toa_connection *connection)
{
	u32 bucket = bucket_of(connection->sk);
	unsigned long flags;

	raw_spin_lock_irqsave(lock_of(bucket), flags);
	hlist_del_rcu(&connection->node);
	raw_spin_unlock_irqrestore(lock_of(bucket), flags);
	atomic_dec(&connections);
	toa_count(TOA_COUNT_FREED);
	toa_pool_free(connection);
}

int toa_store_count(void)
{
	return atomic_read(&connections);
}
