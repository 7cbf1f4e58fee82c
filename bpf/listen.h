/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes listeners keep the SYNs of their connections if a profile looks for options there. */
#ifndef TOASCOPE_LISTEN_H
#define TOASCOPE_LISTEN_H

#include "module_verdict.h"
#include "transparent.h"

/* include/uapi/linux/tcp.h */
#define TCP_SAVE_SYN 27

/*
 * Makes the kernel keep the SYNs of a listener whose connections can have a watched port: its own
 * or, through TPROXY, any. If the application itself has set TCP_SAVE_SYN, that setting stays as it
 * is.
 */
static __always_inline void save_syns(struct bpf_sock_ops *ctx)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp;
	int on = 1;

	if (cfg.from_module || !set || !set->read_syn || !sk)
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || !(port_watched(set, ctx->local_port) || is_transparent(tcp)) ||
	    !namespace_watched(set, &tcp->inet_conn.icsk_inet.sk.__sk_common) ||
	    BPF_CORE_READ_BITFIELD(tcp, save_syn))
		return;
	/* set the mark first: SYNs kept without it would still be kept after toascope is gone */
	if (!bpf_sk_storage_get(&syn_kept, sk, 0, BPF_SK_STORAGE_GET_F_CREATE)) {
		count_drop(DROP_SYN_NOT_KEPT);
	} else if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on))) {
		bpf_sk_storage_delete(&syn_kept, sk);
		count_drop(DROP_SYN_NOT_KEPT);
	}
}

#endif
