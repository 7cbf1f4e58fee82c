/* SPDX-License-Identifier: GPL-2.0-only */
/* The task that a program runs in. */
#ifndef TOASCOPE_TASK_H
#define TOASCOPE_TASK_H

#include "core.h"
#include "records.h"

/* include/linux/sched.h */
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000

/* The root of cgroup v2, where kernel threads are (kernfs assigns it the first id). */
#define ROOT_CGROUP 1

/*
 * For kernels on which a program cannot read the task: kernel threads are root's, have a single
 * thread, and are in the root cgroup. A process for which all of that holds is taken for a kernel
 * thread as well; systemd leaves none in the root cgroup.
 */
static __always_inline bool looks_like_kernel_thread(void)
{
	__u64 ids = bpf_get_current_pid_tgid();

	return ids >> 32 == (__u32)ids && !(__u32)bpf_get_current_uid_gid() &&
	       bpf_get_current_cgroup_id() == ROOT_CGROUP;
}

/*
 * Returns whether the task is a server in the kernel, such as nfsd. The workers of io_uring are
 * not: they act for a process. So do kernel threads that have borrowed its memory, as the one that
 * polls for io_uring did before 5.12.
 */
static __always_inline bool in_kernel_thread(void)
{
	struct task_struct *task;
	unsigned int flags;
	void *mm;

	if (cfg.task_helpers) {
		task = (void *)bpf_get_current_task_btf();
		flags = task->flags;
		mm = task->mm;
	} else if (cfg.kernel_reads) {
		task = (void *)bpf_get_current_task();
		flags = BPF_CORE_READ(task, flags);
		mm = BPF_CORE_READ(task, mm);
	} else {
		return looks_like_kernel_thread();
	}
	return flags & PF_KTHREAD && !(flags & PF_IO_WORKER) && !mm;
}

/* A direct read copies the whole array: what follows the NUL is arbitrary. */
static __always_inline void copy_name(__u8 comm[COMM_SIZE], const struct task_struct *task)
{
	const __u64 *from = (const void *)task->comm;
	__u64 words[COMM_SIZE / sizeof(__u64)] = { from[0], from[1] };

	__builtin_memcpy(comm, words, sizeof(words));
}

/*
 * Writes the process's name, because the current thread can have a name of its own. If nothing else
 * can be read, it writes the thread's.
 */
static __always_inline void process_name(__u8 comm[COMM_SIZE])
{
	struct task_struct *task, *leader;

	if (cfg.task_helpers) {
		task = (void *)bpf_get_current_task_btf();
		copy_name(comm, task->group_leader);
	} else if (cfg.kernel_reads) {
		task = (void *)bpf_get_current_task();
		leader = BPF_CORE_READ(task, group_leader);
		bpf_core_read_str(comm, COMM_SIZE, &leader->comm);
	} else {
		bpf_get_current_comm(comm, COMM_SIZE);
	}
}

#endif
