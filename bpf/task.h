/* SPDX-License-Identifier: GPL-2.0-only */
/* The task that a program runs in. */
#ifndef TOASCOPE_TASK_H
#define TOASCOPE_TASK_H

#include "core.h"
#include "records.h"

/* Set before loading, by probe: bpf_get_current_task_btf() and bpf_task_pt_regs(), in getpeername programs too. */
extern const volatile bool task_helpers;

/* By probe as well: may kernel memory be read by a mere address? lockdown=confidentiality forbids it. */
extern const volatile bool kernel_reads;

/* A direct read copies no strings. What follows the NUL is whatever was there. */
static __always_inline void copy_name(__u8 comm[COMM_SIZE], const struct task_struct *task)
{
	const __u64 *from = (const void *)task->comm;
	__u64 words[COMM_SIZE / sizeof(__u64)] = { from[0], from[1] };

	__builtin_memcpy(comm, words, sizeof(words));
}

/* The process's name: the current thread may have one of its own, and where nothing else can be read it is that. */
static __always_inline void process_name(__u8 comm[COMM_SIZE])
{
	struct task_struct *task, *leader;

	if (task_helpers) {
		task = (void *)bpf_get_current_task_btf();
		copy_name(comm, task->group_leader);
	} else if (kernel_reads) {
		task = (void *)bpf_get_current_task();
		leader = BPF_CORE_READ(task, group_leader);
		bpf_core_read_str(comm, COMM_SIZE, &leader->comm);
	} else {
		bpf_get_current_comm(comm, COMM_SIZE);
	}
}

#endif
