// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocates the objects from a dedicated slab cache. Probes run with preemption disabled, where a
 * real-time kernel (CONFIG_PREEMPT_RT) must not allocate; on such kernels a worker keeps a reserve
 * and refills it when it is half empty.
 */
#include <linux/atomic.h>
#include <linux/llist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include "toa_pool.h"
#include "toa_store.h"

#define RESERVE (IS_ENABLED(CONFIG_PREEMPT_RT) ? 4096 : 0)

static struct kmem_cache *cache;
static LLIST_HEAD(reserve);
static DEFINE_RAW_SPINLOCK(reserve_lock); /* one consumer at a time, for llist_del_first() */
static atomic_t reserved;

/* An object in the reserve is a node of its list. */
union pool_item {
	struct llist_node node;
	struct toa_connection connection;
};

/* A cache with a constructor is never merged with others, so its count in slabinfo is only ours. */
static void construct(void *object)
{
	memset(object, 0, sizeof(union pool_item));
}

static void refill(struct work_struct *work)
{
	while (atomic_read(&reserved) < RESERVE) {
		union pool_item *object = kmem_cache_alloc(cache, GFP_KERNEL);

		if (!object)
			return;
		llist_add(&object->node, &reserve);
		atomic_inc(&reserved);
	}
}

static DECLARE_WORK(refill_work, refill);

int toa_pool_setup(void)
{
	cache = kmem_cache_create("toa_connection", sizeof(union pool_item), 0, SLAB_HWCACHE_ALIGN,
				  construct);
	if (!cache)
		return -ENOMEM;
	refill(NULL);
	return 0;
}

void toa_pool_teardown(void)
{
	struct llist_node *node, *next;

	cancel_work_sync(&refill_work);
	rcu_barrier();
	llist_for_each_safe(node, next, llist_del_all(&reserve)) kmem_cache_free(cache, node);
	kmem_cache_destroy(cache);
}

static struct toa_connection *alloc_reserved(void)
{
	struct llist_node *node;
	unsigned long flags;

	raw_spin_lock_irqsave(&reserve_lock, flags);
	node = llist_del_first(&reserve);
	raw_spin_unlock_irqrestore(&reserve_lock, flags);
	if (node)
		atomic_dec(&reserved);
	if (atomic_read(&reserved) < RESERVE / 2)
		schedule_work(&refill_work);
	return node ? &container_of(node, union pool_item, node)->connection : NULL;
}

struct toa_connection *toa_pool_alloc(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return alloc_reserved();
	return kmem_cache_alloc(cache, GFP_ATOMIC | __GFP_NOWARN);
}

static void free_object(struct rcu_head *rcu)
{
	kmem_cache_free(cache, container_of(rcu, struct toa_connection, rcu));
}

void toa_pool_free(struct toa_connection *connection)
{
	call_rcu(&connection->rcu, free_object);
}
