// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lab's balancer: writes TOA options on the client side of a connection, on every segment
 * without SYN until the backend has acknowledged data, as DPVS does. It handles only sockets for
 * which user space has put an option into the map.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lab.h"

#define LIST_MAX 8 /* the most options that one segment gets here */

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct toa_lab_option);
} options SEC(".maps");

static __always_inline struct toa_lab_option *option_of(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_sk_storage_get(&options, sk, 0, 0) : 0;
}

/* Runs before the ACK that ends the handshake is built, so that ACK is the first to get options. */
static __always_inline void begin(struct bpf_sock_ops *ops, struct toa_lab_option *option)
{
	option->snd_una = ops->snd_una;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

static __always_inline void reserve(struct bpf_sock_ops *ops, struct toa_lab_option *option)
{
	__u8 segment = TOA_LAB_ON_ACK;

	option->due = 0;
	if (ops->snd_una != option->snd_una) {
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		return;
	}
	/*
	 * no segment yet, the kernel asks how much payload will fit: answer as for one with payload
	 */
	if (ops->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS || ops->skb_len)
		segment = TOA_LAB_ON_DATA;
	if (option->segments & segment)
		option->due = !bpf_reserve_hdr_opt(ops, option->length, 0);
}

static __always_inline void write(struct bpf_sock_ops *ops, struct toa_lab_option *option)
{
	__u64 at = 0; /* 64 bits, so that the verifier sees one register checked and used */
	int i;

	if (!option->due)
		return;
	/*
	 * the helper writes one option, whose own length byte says how many of the 40 bytes that is
	 */
	for (i = 0; i < LIST_MAX; i++) {
		if (at >= option->length || at > TOA_LAB_OPTIONS_MAX - 2)
			return;
		bpf_store_hdr_opt(ops, option->bytes + at, TOA_LAB_OPTIONS_MAX, 0);
		at += option->bytes[at + 1];
	}
}

SEC("sockops")
int write_toa(struct bpf_sock_ops *ops)
{
	struct toa_lab_option *option;
	__u32 op = ops->op;

	if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB &&
	    op != BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		return 1;
	option = option_of(ops);
	if (!option)
		return 1;
	if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		begin(ops, option);
	else if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		reserve(ops, option);
	else
		write(ops, option);
	return 1;
}
