/* SPDX-License-Identifier: GPL-2.0-only */
/* Records the accept of a connection: which process accepted it, and how long it had waited. */
#ifndef TOASCOPE_ACCEPT_H
#define TOASCOPE_ACCEPT_H

#include "add_sums.h"
#include "emit.h"
#include "task.h"

/*
 * Counts the accept of a connection that was already counted to its end: accept() can return a
 * connection that has closed.
 */
static __always_inline void add_accept(const struct sums *sums)
{
	__u32 slot = current_slot(sums->listener, sums->listener_service, true);
	__u64 wait = bucket_of(sums->accept_wait_ns, ACCEPT_WAIT_FIRST_NS);
	struct listener *row = listener_row(slot);

	if (!row)
		return;
	bpf_spin_lock(&row->lock);
	count_accept(row, sums, wait);
	bpf_spin_unlock(&row->lock);
}

/* Runs in the context of the accepting process, and only while `accept` is on. */
static __always_inline void record_accept(struct connection *connection, __u64 cookie, __u8 accept_kind)
{
	const struct settings *set = current_settings();
	__u64 now = bpf_ktime_get_ns(), cgroup_id = bpf_get_current_cgroup_id();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	bool first, was_counted = false;
	struct sums sums = {};
	__u64 comm[2] = {};
	struct sample_facts facts = { .accept_wait_ns = now - connection->opened_ns };
	struct reserved_event reserved;

	process_name((__u8 *)comm);
	reserved = reserve_event(set, connection, cookie, EVENT_ACCEPTED, &facts);
	bpf_spin_lock(&connection->lock);
	first = connection->cookie == cookie && !connection->accept_kind;
	if (first) {
		connection->accepted_ns = now;
		connection->cgroup_id = cgroup_id;
		connection->pid = pid;
		__builtin_memcpy(connection->comm, comm, sizeof(comm));
		connection->accept_kind = accept_kind;
		was_counted = connection->state == SLOT_COUNTED;
		if (was_counted) {
			take_identity(connection, &sums);
			connection->flags |= CONN_ACCEPT_COUNTED;
		}
		copy_to_event(&reserved, connection);
	}
	bpf_spin_unlock(&connection->lock);
	finish_event(&reserved, first);
	if (was_counted)
		add_accept(&sums);
}

#endif
