// SPDX-License-Identifier: GPL-2.0-only
/*
 * Iterates over the descriptors that listen, for the owner of a connection whose accept was not
 * observed, and for the listeners that keep SYNs.
 */
#include "endpoint.h"
#include "task.h"
#include "transparent.h"
#include "maps.h"

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFSOCK 0140000

/*
 * If tracing programs have locks and storage, they have bpf_sock_from_file() as well (5.11), and
 * the socket that it returns has a type. Otherwise a socket is a plain address.
 */
#define read_field(of, field) (cfg.tracing_locks ? (of)->field : BPF_CORE_READ(of, field))

/*
 * Finds the socket by its address. A file with an inode of this kind is a socket's or, opened with
 * O_PATH, a name in a file system: the latter has no private data, and no socket names it as its
 * file.
 */
static __always_inline struct socket *socket_at(struct file *file)
{
	struct socket *socket = file->private_data;

	if ((file->f_inode->i_mode & S_IFMT) != S_IFSOCK || BPF_CORE_READ(socket, file) != file)
		return 0;
	return socket;
}

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket = cfg.tracing_locks ? bpf_sock_from_file(file) : socket_at(file);

	return socket ? read_field(socket, sk) : 0;
}

static __always_inline void read_local_endpoint(struct sock *sk, struct endpoint *to)
{
	__u32 ipv6[4] = {};

	if (cfg.tracing_locks) {
		local_endpoint(&sk->__sk_common, to);
		return;
	}
	bpf_core_read(ipv6, sizeof(ipv6), &sk->__sk_common.skc_v6_rcv_saddr);
	set_address(to, BPF_CORE_READ(sk, __sk_common.skc_family),
		    BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr), ipv6);
	to->port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* Returns whether the listener saves the SYNs of its connections. */
static __always_inline bool saves_syns(struct sock *sk)
{
	struct tcp_sock *tcp;

	if (cfg.tracing_locks) {
		tcp = bpf_skc_to_tcp_sock(sk);
		return tcp && BPF_CORE_READ_BITFIELD(tcp, save_syn);
	}
	/* MPTCP's is not a struct tcp_sock */
	tcp = (struct tcp_sock *)sk;
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP && BPF_CORE_READ_BITFIELD_PROBED(tcp, save_syn);
}

/* Returns whether the kernel holds back its connections until data arrives (TCP_DEFER_ACCEPT). */
static __always_inline bool defers_accept(struct sock *sk)
{
	struct tcp_sock *tcp;

	if (cfg.tracing_locks) {
		tcp = bpf_skc_to_tcp_sock(sk);
		return tcp && tcp->inet_conn.icsk_accept_queue.rskq_defer_accept;
	}
	tcp = (struct tcp_sock *)sk;
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP &&
	       BPF_CORE_READ(tcp, inet_conn.icsk_accept_queue.rskq_defer_accept);
}

static __always_inline bool accepts_any_port(struct sock *sk)
{
	struct tcp_sock *tcp;

	if (!cfg.tracing_locks)
		return is_transparent_at(sk);
	tcp = bpf_skc_to_tcp_sock(sk);
	return tcp && is_transparent(tcp);
}

SEC("iter/task_file")
int toascope_listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct owner owner = {};
	struct sock *sk;
	struct net *net;
	__u16 family;

	if (!task || !file)
		return 0;
	sk = sock_of(file);
	if (!sk)
		return 0;
	family = read_field(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) ||
	    read_field(sk, __sk_common.skc_state) != BPF_TCP_LISTEN)
		return 0;
	read_local_endpoint(sk, &owner.local);
	net = read_field(sk, __sk_common.skc_net.net);
	owner.netns = read_field(net, ns.inum);
	owner.pid = task->tgid;
	owner.started_ns = task->group_leader->start_time;
	owner.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	copy_name(owner.comm, task->group_leader);
	owner.fd = ctx->fd;
	owner.saves_syns = saves_syns(sk);
	owner.defers_accept = defers_accept(sk);
	owner.transparent = accepts_any_port(sk);
	/*
	 * the mark says that toascope set TCP_SAVE_SYN. An iterator that cannot read the mark says
	 * so for all: it is read again before SYNs are switched off
	 */
	owner.saved_by_us =
		cfg.tracing_locks ? bpf_sk_storage_get(&syn_kept, sk, 0, 0) != 0 : owner.saves_syns;
	bpf_seq_write(ctx->meta->seq, &owner, sizeof(owner));
	return 0;
}
