/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel counts a FIN as a byte, in both directions: payload is bytes_received and bytes_acked
 * without the FINs.
 */
#ifndef TOASCOPE_FIN_H
#define TOASCOPE_FIN_H

#include "core.h"

/* A raw count includes a FIN once it is received in order (tcp_queue_rcv()) or acknowledged. */
static __always_inline bool fin_received(const struct tcp_sock *tcp)
{
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >> SOCK_DONE & 1;
}

/*
 * Returns whether this is a state in which a FIN was sent or is about to be sent. tcp_close_state()
 * comes before tcp_send_fin().
 */
static __always_inline bool is_after_fin(int tcp_state)
{
	const int sent = 1 << BPF_TCP_FIN_WAIT1 | 1 << BPF_TCP_FIN_WAIT2 | 1 << BPF_TCP_CLOSING |
			 1 << BPF_TCP_LAST_ACK | 1 << BPF_TCP_TIME_WAIT;

	return sent >> (tcp_state & 15) & 1;
}

static __always_inline bool fin_acknowledged(const struct tcp_sock *tcp, int tcp_state)
{
	return is_after_fin(tcp_state) && tcp->bytes_acked && tcp->snd_una == tcp->write_seq;
}

#endif
