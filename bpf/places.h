/* SPDX-License-Identifier: GPL-2.0-only */
/* Places in tables: of a listener until it is folded, of a connection until another needs it. */
#ifndef TOASCOPE_PLACES_H
#define TOASCOPE_PLACES_H

#include "count.h"
#include "endpoint.h"

/* Set before loading, as the sizes of the maps are: connections.max, and listeners.max. */
extern const volatile __u32 connection_places;
extern const volatile __u32 listener_places_max;

/* A place that nobody has had, or NO_PLACE. */
static __always_inline __u32 take_fresh(__u32 of, __u32 places)
{
	struct fresh_places *fresh_of = bpf_map_lookup_elem(&fresh, &of);
	__u32 place;

	/* on a busy host this is a look at a line that nobody writes any more */
	if (!fresh_of || fresh_of->next >= places)
		return NO_PLACE;
	bpf_spin_lock(&fresh_of->lock);
	place = fresh_of->next;
	if (place < places)
		fresh_of->next = place + 1;
	bpf_spin_unlock(&fresh_of->lock);
	return place < places ? place : NO_PLACE;
}

/* Makes a listener. Returns its place; OTHER_LISTENER: there is no room. */
static __noinline __u32 enter_listener(const struct listener_key *key)
{
	struct listener_slot *slot;
	__u32 place, *found;

	place = take_fresh(FRESH_LISTENER, listener_places_max);
	if (place != NO_PLACE)
		place++; /* the first is OTHER_LISTENER */
	else if (bpf_map_pop_elem(&spare_listeners, &place))
		return OTHER_LISTENER;
	slot = bpf_map_lookup_elem(&listener_keys, &place);
	if (!slot)
		return OTHER_LISTENER;
	/* the name first: who finds the place may need it */
	__builtin_memcpy(&slot->key, key, sizeof(slot->key));
	slot->active_ns = bpf_ktime_get_ns();
	slot->service += slot->service & 1;
	if (!bpf_map_update_elem(&listener_places, key, &place, BPF_NOEXIST))
		return place;
	/* of two that come at once, one finds it made, and leaves its place to a later one */
	if (bpf_map_push_elem(&spare_listeners, &place, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	found = bpf_map_lookup_elem(&listener_places, key);
	return found ? *found : OTHER_LISTENER;
}

#define TOUCH_NS 1000000000ULL

/* Not each time: on a busy host this is a look at a line that is seldom written. */
static __always_inline void touch_listener(struct listener_slot *slot, __u64 now)
{
	if (now - slot->active_ns > TOUCH_NS)
		slot->active_ns = now;
}

/* The place of a socket's listener; made while there is room. */
static __always_inline __u32 listener_place(const struct sock_common *sk)
{
	struct listener_key key;
	__u32 *place;

	local_endpoint(sk, &key.local);
	place = bpf_map_lookup_elem(&listener_places, &key);
	return place ? *place : enter_listener(&key);
}

/*
 * Where a new connection counts. A place that is being given back takes none: the connection is "other"'s. Who folds waits
 * for all runs that had begun, so one that sees the place in service has counted its connection before.
 */
static __always_inline void enter_at_listener(const struct sock_common *sk, struct socket_state *state,
					      __u64 now)
{
	__u32 place = listener_place(sk);
	struct listener_slot *slot = bpf_map_lookup_elem(&listener_keys, &place);

	state->listener = OTHER_LISTENER;
	if (!slot || *(volatile __u32 *)&slot->service & 1)
		return;
	state->listener = place;
	state->listener_service = slot->service;
	touch_listener(slot, now);
}

/* Is the place still that of the connection's listener? While the connection is open it is. */
static __always_inline bool listener_stays(const struct socket_state *state)
{
	__u32 place = state->listener;
	const struct listener_slot *slot = bpf_map_lookup_elem(&listener_keys, &place);

	return !state->closed || (slot && *(const volatile __u32 *)&slot->service == state->listener_service);
}

/* A place for a new connection: fresh, else that of the one that closed first. NO_PLACE: all are open. */
static __always_inline __u32 connection_place(void)
{
	__u32 place = take_fresh(FRESH_CONNECTION, connection_places);

	if (place != NO_PLACE || !bpf_map_pop_elem(&closed_queue, &place))
		return place;
	count_drop(DROP_CONNECTIONS_FULL);
	return NO_PLACE;
}

/* Last in the row of those that make room. */
static __always_inline void free_connection_place(__u32 place)
{
	if (bpf_map_push_elem(&closed_queue, &place, BPF_ANY))
		count_drop(DROP_CONNECTION_SLOT);
}

#endif
