/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds the listener that a connection counts for. A listener has a slot from its first connection
 * until the daemon folds it.
 */
#ifndef TOASCOPE_LISTENER_SLOTS_H
#define TOASCOPE_LISTENER_SLOTS_H

#include "count.h"
#include "endpoint.h"

#define TOUCH_NS 1000000000LL

/* Returns a slot that was never used; OTHER_LISTENER if there is none. */
static __always_inline __u32 alloc_fresh_slot(void)
{
	__u32 zero = 0, slot = OTHER_LISTENER;
	struct fresh_slots *fresh = bpf_map_lookup_elem(&fresh_listeners, &zero);

	if (!fresh)
		return OTHER_LISTENER;
	bpf_spin_lock(&fresh->lock);
	if (fresh->next < cfg.listener_slots)
		slot = ++fresh->next;
	bpf_spin_unlock(&fresh->lock);
	return slot;
}

/* Creates a listener. Returns its slot; OTHER_LISTENER if the table is full. */
static __noinline __u32 create_listener(const struct listener_key *key)
{
	struct listener_slot *entry;
	__u32 slot, *found;

	slot = alloc_fresh_slot();
	if (slot == OTHER_LISTENER && bpf_map_pop_elem(&spare_listeners, &slot))
		return OTHER_LISTENER;
	entry = bpf_map_lookup_elem(&listener_keys, &slot);
	if (!entry)
		return OTHER_LISTENER;
	/* write the key first: a program that finds the slot can read it */
	__builtin_memcpy(&entry->key, key, sizeof(entry->key));
	entry->active_ns = bpf_ktime_get_ns();
	entry->service += entry->service & 1;
	if (!bpf_map_update_elem(&listener_index, key, &slot, BPF_NOEXIST))
		return slot;
	/* another CPU created it at the same time: this slot is for a later listener */
	if (bpf_map_push_elem(&spare_listeners, &slot, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	found = bpf_map_lookup_elem(&listener_index, key);
	return found ? *found : OTHER_LISTENER;
}

/* Updates active_ns at most once a second, so that busy CPUs only read the cache line. */
static __always_inline void touch_listener(struct listener_slot *slot, __u64 now)
{
	if ((__s64)(now - slot->active_ns) > TOUCH_NS)
		slot->active_ns = now;
}

static __always_inline bool same_key(const struct listener_key *a, const struct listener_key *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (*(const __u32 *)(x + 2) ^ *(const __u32 *)(y + 2)));
}

/*
 * Returns the slot of the listener with this key, which is created if it is missing; OTHER_LISTENER
 * if the table is full.
 */
static __noinline __u32 find_or_create_listener(const struct listener_key *key)
{
	const __u32 *found = bpf_map_lookup_elem(&listener_index, key);

	return found ? *found : create_listener(key);
}

/* The slot of a listener, and the slot's `service` (struct listener_slot). */
struct listener_at {
	__u32 slot;
	__u32 service;
};

/*
 * Finds where a new connection counts. A slot that is being freed accepts none: the connection
 * counts for "other". After the daemon has marked the slot, it waits for a grace period and then
 * sweeps the table, so it knows every connection that found the slot in service.
 */
static __always_inline struct listener_at listener_of(const struct settings *set,
						      const struct endpoint *local, __u64 now)
{
	struct listener_at at = { .slot = OTHER_LISTENER };
	struct listener_slot *entry;
	struct listener_key key __attribute__((aligned(8))) = { .local = *local };
	__u64 *guess, guessed;
	__u32 slot, service, port;

	if (set->label_port) {
		/* the unspecified address, which no connection has */
		__builtin_memset(key.local.address, 0, sizeof(key.local.address));
		key.local.family = FAMILY_IPV6;
	}
	port = key.local.port;
	guess = bpf_map_lookup_elem(&listener_guesses, &port);
	guessed = guess ? *(volatile __u64 *)guess : 0;
	slot = guessed;
	entry = bpf_map_lookup_elem(&listener_keys, &slot);
	service = entry ? *(volatile __u32 *)&entry->service : 1;
	if (!entry || slot == OTHER_LISTENER || service != guessed >> 32 || !same_key(&entry->key, &key)) {
		slot = find_or_create_listener(&key);
		entry = bpf_map_lookup_elem(&listener_keys, &slot);
		service = entry ? *(volatile __u32 *)&entry->service : 1;
		if (guess && slot != OTHER_LISTENER && !(service & 1))
			*(volatile __u64 *)guess = (__u64)service << 32 | slot;
	}
	if (!entry || service & 1)
		return at;
	touch_listener(entry, now);
	at.slot = slot;
	at.service = service;
	return at;
}

/*
 * Returns the slot that a connection's counts go to. No slot is folded before each of its
 * connections is counted to its end. What can come later, an accept or an additional subflow
 * (CONN_JOINED), counts for "other" as soon as the slot is being freed.
 */
static __always_inline __u32 current_slot(__u32 slot, __u32 service, bool late)
{
	const struct listener_slot *entry = bpf_map_lookup_elem(&listener_keys, &slot);
	__u32 current = entry ? *(const volatile __u32 *)&entry->service : 0;

	if (!entry || (current != service && (late || current >> 1 != service >> 1)))
		return OTHER_LISTENER;
	return slot;
}

/* Returns this CPU's row of a listener. */
static __always_inline struct listener *listener_row(__u32 slot)
{
	__u32 row = slot * cfg.listener_rows + bpf_get_smp_processor_id() % cfg.listener_rows;

	return bpf_map_lookup_elem(&listeners, &row);
}

#endif
