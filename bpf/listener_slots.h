/* SPDX-License-Identifier: GPL-2.0-only */
/* Which listener a connection counts for: a slot from its first connection until the daemon folds it. */
#ifndef TOASCOPE_LISTENER_SLOTS_H
#define TOASCOPE_LISTENER_SLOTS_H

#include "count.h"
#include "endpoint.h"

/* Set before loading: listeners.max, and how many rows each listener has. */
extern const volatile __u32 listener_slots;
extern const volatile __u32 listener_rows;

#define TOUCH_NS 1000000000LL

/* A slot that was never used; OTHER_LISTENER: there is none. */
static __always_inline __u32 alloc_fresh(void)
{
	__u32 zero = 0, slot = OTHER_LISTENER;
	struct fresh_slots *fresh = bpf_map_lookup_elem(&fresh_listeners, &zero);

	if (!fresh)
		return OTHER_LISTENER;
	bpf_spin_lock(&fresh->lock);
	if (fresh->next < listener_slots)
		slot = ++fresh->next;
	bpf_spin_unlock(&fresh->lock);
	return slot;
}

/* Makes a listener. Returns its slot; OTHER_LISTENER: the table is full. */
static __noinline __u32 enter_listener(const struct listener_key *key)
{
	struct listener_slot *entry;
	__u32 slot, *found;

	slot = alloc_fresh();
	if (slot == OTHER_LISTENER && bpf_map_pop_elem(&spare_listeners, &slot))
		return OTHER_LISTENER;
	entry = bpf_map_lookup_elem(&listener_keys, &slot);
	if (!entry)
		return OTHER_LISTENER;
	/* the key first: a program that finds the slot may need it */
	__builtin_memcpy(&entry->key, key, sizeof(entry->key));
	entry->active_ns = bpf_ktime_get_ns();
	entry->service += entry->service & 1;
	if (!bpf_map_update_elem(&listener_places, key, &slot, BPF_NOEXIST))
		return slot;
	/* another CPU has made it at the same time: this slot is for a later listener */
	if (bpf_map_push_elem(&spare_listeners, &slot, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	found = bpf_map_lookup_elem(&listener_places, key);
	return found ? *found : OTHER_LISTENER;
}

/* Not each time: on a busy host this reads a cache line that is seldom written. */
static __always_inline void touch_listener(struct listener_slot *slot, __u64 now)
{
	if ((__s64)(now - slot->active_ns) > TOUCH_NS)
		slot->active_ns = now;
}

static __always_inline bool is_key(const struct listener_key *a, const struct listener_key *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (*(const __u32 *)(x + 2) ^ *(const __u32 *)(y + 2)));
}

/* The slot of a listener by its key; made while there is room. */
static __noinline __u32 find_listener(const struct listener_key *key)
{
	const __u32 *found = bpf_map_lookup_elem(&listener_places, key);

	return found ? *found : enter_listener(key);
}

/* The slot of a listener, and its service (struct listener_slot). */
struct listener_at {
	__u32 slot;
	__u32 service;
};

/*
 * Where a new connection counts. A slot that is being given back takes none: the connection counts for "other". The daemon waits for
 * a grace period after it has marked the slot, and sweeps the table then, so a connection that saw it in service is known to it.
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
		/* the unspecified address: no connection has it */
		__builtin_memset(key.local.address, 0, sizeof(key.local.address));
		key.local.family = FAMILY_IPV6;
	}
	port = key.local.port;
	guess = bpf_map_lookup_elem(&listener_guesses, &port);
	guessed = guess ? *(volatile __u64 *)guess : 0;
	slot = guessed;
	entry = bpf_map_lookup_elem(&listener_keys, &slot);
	service = entry ? *(volatile __u32 *)&entry->service : 1;
	if (!entry || slot == OTHER_LISTENER || service != guessed >> 32 || !is_key(&entry->key, &key)) {
		slot = find_listener(&key);
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
 * Where a connection's counts go. No slot is folded while a connection of it is not counted to its end; what can come later, an accept
 * or a further path (CONN_JOINED), counts for "other" from the moment that the slot is being given back.
 */
static __always_inline __u32 current_slot(__u32 slot, __u32 service, bool late)
{
	const struct listener_slot *entry = bpf_map_lookup_elem(&listener_keys, &slot);
	__u32 current = entry ? *(const volatile __u32 *)&entry->service : 0;

	if (!entry || (current != service && (late || current >> 1 != service >> 1)))
		return OTHER_LISTENER;
	return slot;
}

/* This CPU's row of a listener. */
static __always_inline struct listener *listener_row(__u32 slot)
{
	__u32 row = slot * listener_rows + bpf_get_smp_processor_id() % listener_rows;

	return bpf_map_lookup_elem(&listeners, &row);
}

#endif
