/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who was the first to see that a connection was accepted. Where programs on accept() reach the state and
 * its lock, the state tells. Else connections wait in a map: one program takes each of them out.
 */
#ifndef TOASCOPE_SEEN_H
#define TOASCOPE_SEEN_H

#include "table.h"

/* When the connection opens. One that finds no room there is as good as unseen. */
static __always_inline void await_accept(struct subject *on)
{
	struct socket_state *state = on->state;
	struct unaccepted entry = { .opened_ns = on->now,
				    .place = state->place,
				    .listener = state->listener };
	__u64 cookie = state->cookie;

	if (tracing_locks || !bpf_map_update_elem(&unaccepted, &cookie, &entry, BPF_NOEXIST))
		return;
	state->seen = SEEN_UNSEEN;
	add(on->listener->accepts[SEEN_UNSEEN], 1);
	if (on->connection)
		on->connection->seen = SEEN_UNSEEN;
}

/* One that is gone. */
static __always_inline void forget_unaccepted(__u64 cookie)
{
	if (!tracing_locks)
		bpf_map_delete_elem(&unaccepted, &cookie);
}

static __always_inline bool first_to_see(struct socket_state *state, __u8 seen)
{
	__u64 cookie = state->cookie;
	bool first;

	if (!tracing_locks) {
		/* spares the others a look; what counts is the map */
		state->seen = seen;
		return !bpf_map_delete_elem(&unaccepted, &cookie);
	}
	bpf_spin_lock(&state->lock);
	first = !state->seen;
	if (first)
		state->seen = seen;
	bpf_spin_unlock(&state->lock);
	return first;
}

#endif
