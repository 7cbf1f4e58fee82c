/* SPDX-License-Identifier: GPL-2.0-only */
/* The accept of a connection: who took it, and how long it had waited. */
#ifndef TOASCOPE_ACCEPT_H
#define TOASCOPE_ACCEPT_H

#include "seen.h"
#include "task.h"

/* The accept is first seen, by the accepting process itself. */
static __always_inline void note_accept(const struct subject *on, __u64 cookie, __u64 opened_ns, __u8 seen)
{
	struct connection *connection = on->connection;

	if (seen < SEENS)
		add(on->listener->accepts[seen], 1);
	observe(&on->listener->accept_wait, on->now - opened_ns, ACCEPT_WAIT_FIRST_NS);
	/* it may have closed since, and its place have gone to another: this task may have been preempted */
	if (!connection || *(volatile __u64 *)&connection->cookie != cookie)
		return;
	connection->accepted_ns = on->now;
	connection->seen = seen;
	connection->pid = bpf_get_current_pid_tgid() >> 32;
	connection->cgroup_id = bpf_get_current_cgroup_id();
	process_name(connection->comm);
	tell(on, EVENT_ACCEPTED);
}

/*
 * accept() may return a connection that has closed, at any time after: where its listener is folded since, its counts are
 * "other"'s, and so is the accept.
 */
static __always_inline bool take_listener_of_accept(struct subject *on)
{
	__u32 other = OTHER_LISTENER;

	if (listener_stays(on->state))
		return take_listener(on);
	on->listener = bpf_map_lookup_elem(&listeners, &other);
	return on->listener;
}

/* Runs in the accepting process. */
static __always_inline void accepted(struct socket_state *state, __u8 seen)
{
	struct subject on = { .set = current_settings(), .state = state, .now = bpf_ktime_get_ns() };

	if (!on.set || !state->opened_ns || state->seen || !take_listener_of_accept(&on) ||
	    !first_to_see(state, seen))
		return;
	find_connection(&on);
	note_accept(&on, state->cookie, state->opened_ns, seen);
}

/* The same, for a program that does not reach the state. */
static __always_inline void accepted_by_cookie(__u64 cookie, __u8 seen)
{
	struct subject on = { .set = current_settings(), .now = bpf_ktime_get_ns() };
	struct unaccepted *entry = bpf_map_lookup_elem(&unaccepted, &cookie), found;

	if (!on.set || !entry)
		return;
	found = *entry;
	if (bpf_map_delete_elem(&unaccepted, &cookie))
		return;
	on.listener = bpf_map_lookup_elem(&listeners, &found.listener);
	if (!on.listener)
		return;
	on.connection = connection_at(found.place, cookie);
	note_accept(&on, cookie, found.opened_ns, seen);
}

#endif
