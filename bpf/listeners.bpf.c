// SPDX-License-Identifier: GPL-2.0-only
/* The descriptors that listen: who owns a connection whose accept was not seen, and which listeners keep SYNs. */
#include "endpoint.h"
#include "turns.h"

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFSOCK 0140000
#define IPPROTO_TCP 6

/*
 * Not by bpf_sock_from_file(), which 5.10 lacks. A file with an inode of this kind is a socket's, or, opened
 * with O_PATH, a name in a file system: that one has no private data, and no socket names it as its file.
 */
static __always_inline struct socket *socket_of(struct file *file)
{
	struct socket *socket = file->private_data;

	if ((file->f_inode->i_mode & S_IFMT) != S_IFSOCK || BPF_CORE_READ(socket, file) != file)
		return 0;
	return socket;
}

static __always_inline void read_local_endpoint(const struct sock *sk, struct endpoint *to)
{
	__u32 ipv6[4] = {};

	bpf_core_read(ipv6, sizeof(ipv6), &sk->__sk_common.skc_v6_rcv_saddr);
	set_address(to, BPF_CORE_READ(sk, __sk_common.skc_family),
		    BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr), ipv6);
	to->port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* Did we tell it to keep SYNs? */
static __always_inline bool marked(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : 0;

	return sk && bpf_sk_storage_get(&syn_kept, sk, 0, 0);
}

SEC("iter/task_file")
int toascope_listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct owner owner = {};
	struct socket *socket;
	struct tcp_sock *tcp;
	struct sock *sk;
	__u16 family;

	if (!task || !file)
		return 0;
	socket = socket_of(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != BPF_TCP_LISTEN)
		return 0;
	read_local_endpoint(sk, &owner.local);
	owner.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	owner.pid = task->tgid;
	owner.started_ns = task->group_leader->start_time;
	owner.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	bpf_probe_read_kernel_str(owner.comm, sizeof(owner.comm), task->group_leader->comm);
	owner.fd = ctx->fd;
	/* MPTCP's is no struct tcp_sock */
	tcp = (struct tcp_sock *)sk;
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		owner.keeps_syns = BPF_CORE_READ_BITFIELD_PROBED(tcp, save_syn);
	/* where an iterator cannot read the mark: perhaps; who acts on it reads it */
	owner.kept_for_us = tracing_locks ? marked(file) : owner.keeps_syns;
	bpf_seq_write(ctx->meta->seq, &owner, sizeof(owner));
	return 0;
}
