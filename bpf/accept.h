/* SPDX-License-Identifier: GPL-2.0-only */
/* The accept of a connection: who took it, and how long it had waited. */
#ifndef TOASCOPE_ACCEPT_H
#define TOASCOPE_ACCEPT_H

#include "table.h"

/* The process's name: the accepting thread may have one of its own. */
static __always_inline void process_name(__u8 comm[COMM_SIZE])
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	bpf_core_read_str(comm, COMM_SIZE, &leader->comm);
}

/* Runs in the accepting process. */
static __always_inline void accepted(const struct sock_common *sk, struct socket_state *state, __u8 seen)
{
	struct subject on = {
		.sk = sk, .set = current_settings(), .state = state, .now = bpf_ktime_get_ns()
	};
	struct connection *connection;
	bool first;

	if (!on.set || !state->opened_ns || state->seen || !take_listener(&on))
		return;
	bpf_spin_lock(&state->lock);
	first = !state->seen;
	if (first)
		state->seen = seen;
	bpf_spin_unlock(&state->lock);
	if (!first)
		return;
	if (seen < SEENS)
		add(on.listener->accepts[seen], 1);
	observe(&on.listener->accept_wait, on.now - state->opened_ns, ACCEPT_WAIT_FIRST_NS);
	find_connection(&on);
	connection = on.connection;
	if (!connection)
		return;
	connection->accepted_ns = on.now;
	connection->seen = seen;
	connection->pid = bpf_get_current_pid_tgid() >> 32;
	connection->cgroup_id = bpf_get_current_cgroup_id();
	process_name(connection->comm);
	tell(&on, EVENT_ACCEPTED);
}

#endif
