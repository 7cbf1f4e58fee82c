/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel structs and fields that are read, relocated by CO-RE against the running kernel's
 * BTF. Differences between kernels are handled here and nowhere else. The build needs only the UAPI
 * headers.
 */
#ifndef TOASCOPE_CORE_H
#define TOASCOPE_CORE_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "cfg.h"

#define CORE __attribute__((preserve_access_index))

#define AF_INET 2
#define AF_INET6 10

/* include/uapi/linux/in.h */
#define IPPROTO_IP 0
#define IPPROTO_TCP 6
#define IPPROTO_IPV6 41
#define IPPROTO_MPTCP 262

/* include/uapi/asm-generic/errno-base.h and errno.h */
#define ENOENT 2
#define ESRCH 3
#define EBUSY 16
#define EINVAL 22
#define EPIPE 32
#define ENOPROTOOPT 92
#define EOPNOTSUPP 95
#define ENETUNREACH 101
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define EHOSTUNREACH 113

/* enum sock_flags, include/net/sock.h: set when the peer's FIN has been received (tcp_fin()) */
enum sock_flags { SOCK_DONE = 1 };

struct ns_common {
	__u32 inum;
} CORE;

struct net {
	struct ns_common ns;
} CORE;

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct in6_addr_words {
	__u32 words[4];
};

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	volatile unsigned char skc_state;
	__u32 skc_hash; /* of both ends; set when the socket enters the established hash */
	unsigned long skc_flags;
	possible_net_t skc_net;
	atomic64_t skc_cookie;
	struct in6_addr_words skc_v6_daddr;
	struct in6_addr_words skc_v6_rcv_saddr;
} CORE;

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	int sk_err;
	__u16 sk_protocol;
} CORE;

struct inet_sock {
	struct sock sk;
} CORE;

struct request_sock_queue {
	__u8 rskq_defer_accept;
} CORE;

/* IP_TRANSPARENT: a bitfield of its own before 6.6, a bit of inet_flags since then */
struct inet_sock___bits {
	__u8 transparent : 1;
} CORE;

struct inet_sock___flags {
	unsigned long inet_flags;
} CORE;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
} CORE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 srtt_us; /* in eighths of a microsecond */
	__u32 total_retrans;
	__u32 write_seq;
	__u32 snd_una;
	__u32 snd_nxt;
	__u8 save_syn : 2;
	bool is_mptcp;
} CORE;

struct socket {
	struct sock *sk;
	struct file *file;
} CORE;

struct inode {
	__u16 i_mode;
} CORE;

struct file {
	void *private_data;
	struct inode *f_inode;
} CORE;

struct kernfs_node {
	__u64 id;
} CORE;

struct cgroup {
	struct kernfs_node *kn;
} CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct mm_struct;

struct task_struct {
	void *stack;
	unsigned int flags;
	struct mm_struct *mm;
	int tgid;
	char comm[16];
	struct task_struct *group_leader;
	struct css_set *cgroups;
	__u64 start_time; /* CLOCK_MONOTONIC nanoseconds */
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_map;

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
} CORE;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} CORE;

/* x86: the system call number; arm64 has a field of its own for it */
struct pt_regs___x86 {
	unsigned long orig_ax;
	unsigned long cs;
} CORE;

struct pt_regs___arm64 {
	__s32 syscallno;
} CORE;

#endif
