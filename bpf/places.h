/* SPDX-License-Identifier: GPL-2.0-only */
/* Places in tables: of a listener for good, of a connection until another needs it. */
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
	__u32 place, *found;

	place = take_fresh(FRESH_LISTENER, listener_places_max);
	if (place != NO_PLACE)
		place++; /* the first is OTHER_LISTENER */
	else if (bpf_map_pop_elem(&spare_listeners, &place))
		return OTHER_LISTENER;
	/* the name first: who finds the place may need it */
	bpf_map_update_elem(&listener_keys, &place, key, BPF_ANY);
	if (!bpf_map_update_elem(&listener_places, key, &place, BPF_NOEXIST))
		return place;
	/* of two that come at once, one finds it made, and leaves its place to a later one */
	if (bpf_map_push_elem(&spare_listeners, &place, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	found = bpf_map_lookup_elem(&listener_places, key);
	return found ? *found : OTHER_LISTENER;
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
