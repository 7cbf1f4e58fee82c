// SPDX-License-Identifier: GPL-2.0-only
/* The descriptors that listen: who owns a connection whose accept was not seen, and which listeners keep SYNs. */
#include "endpoint.h"
#include "maps.h"

SEC("iter/task_file")
int toascope_listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct owner owner = {};
	struct socket *socket;
	struct tcp_sock *tcp;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->__sk_common.skc_state != BPF_TCP_LISTEN ||
	    (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return 0;
	local_endpoint(&sk->__sk_common, &owner.local);
	owner.netns = sk->__sk_common.skc_net.net->ns.inum;
	owner.pid = task->tgid;
	owner.started_ns = task->group_leader->start_time;
	owner.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	bpf_probe_read_kernel_str(owner.comm, sizeof(owner.comm), task->group_leader->comm);
	owner.fd = ctx->fd;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp)
		owner.keeps_syns = BPF_CORE_READ_BITFIELD(tcp, save_syn);
	owner.kept_for_us = bpf_sk_storage_get(&syn_kept, sk, 0, 0) != 0;
	bpf_seq_write(ctx->meta->seq, &owner, sizeof(owner));
	return 0;
}
