/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Turns at a connection's state, for kernels where an iterator may take no spin lock.
 *
 * Who enters the connection's cookie into a map has the turn: of two that try, the map lets one in. The
 * other does not wait. A flush has nothing to lose: what it does not count, the next one does. A callback
 * comes once and leaves a wish: for the verdict, or for the last sums at close. Callbacks of a socket hold
 * it, one at a time, so it is only a flush that can be in their way, and only flushes look for wishes when
 * they have given the turn back.
 *
 * No wish is left behind: its owner tries for the turn again once it is made. Where that fails, the turn was
 * the flush's after the wish was made, and the lock of the cookie's bucket orders the two; so the flush gives
 * the turn back later, looks, and finds it. None is granted twice: that is done in a turn, and the wish is
 * out of the map before the turn is given back. And it ends: a connection has one wish for the verdict
 * (socket_state.wished) and one for the close.
 */
#ifndef TOASCOPE_TURNS_H
#define TOASCOPE_TURNS_H

#include "maps.h"

/* Set before loading, by probe: may programs of type tracing take spin locks, and have socket storage? */
extern const volatile bool tracing_locks;

static __always_inline bool take_turn(__u64 cookie)
{
	__u32 taken = 1;

	return !bpf_map_update_elem(&turns, &cookie, &taken, BPF_NOEXIST);
}

static __always_inline void give_turn_back(__u64 cookie)
{
	bpf_map_delete_elem(&turns, &cookie);
}

static __always_inline bool make_wish(__u64 cookie, __u64 kind, const struct wish *wish)
{
	struct wish_key key = { .cookie = cookie, .kind = kind };

	return !bpf_map_update_elem(&wishes, &key, wish, BPF_NOEXIST);
}

static __always_inline bool wished(__u64 cookie)
{
	struct wish_key key = { .cookie = cookie, .kind = WISH_VERDICT };

	if (bpf_map_lookup_elem(&wishes, &key))
		return true;
	key.kind = WISH_CLOSE;
	return bpf_map_lookup_elem(&wishes, &key);
}

#endif
