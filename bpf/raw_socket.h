/* SPDX-License-Identifier: GPL-2.0-only */
/* What an open connection has done, read from its socket by address, without the socket's lock. */
#ifndef TOASCOPE_RAW_SOCKET_H
#define TOASCOPE_RAW_SOCKET_H

#include "fin.h"

/* What is read of an open connection's socket. */
struct raw_socket {
	__u64 received;
	__u64 acked;
	__u32 retransmitted;
	__u32 srtt_us;
	bool received_fin;
	bool sent_fin; /* and it is acknowledged */
	bool has_struct_socket;
	bool closed;
};

/*
 * By the socket's address. Its memory may be free, or another socket's: then it has another cookie, or cannot be read. sk_clone() clears
 * the cookie of a socket that it makes. False: the socket is gone.
 *
 * The state is read before the counts, and tcp_set_state() runs the callback before it stores the state: a program that reads TCP_CLOSE
 * knows that the callback is over, on x86; where loads are reordered, the second sweep that finds it so.
 */
static __noinline int read_socket(__u64 address, __u64 cookie, struct raw_socket *to)
{
	struct tcp_sock *tcp = (struct tcp_sock *)address;
	struct sock *sk = &tcp->inet_conn.icsk_inet.sk;
	struct sock_common *common = &sk->__sk_common;
	__u64 first = 0, again = 0, flags = 0, socket = 0;
	__u32 write_seq = 0, snd_una = 0;
	__u8 state = 0;

	if (bpf_core_read(&first, sizeof(first), &common->skc_cookie) || first != cookie)
		return 0;
	bpf_core_read(&flags, sizeof(flags), &common->skc_flags);
	bpf_core_read(&state, sizeof(state), &common->skc_state);
	bpf_core_read(&write_seq, sizeof(write_seq), &tcp->write_seq);
	bpf_core_read(&snd_una, sizeof(snd_una), &tcp->snd_una);
	bpf_core_read(&to->received, sizeof(to->received), &tcp->bytes_received);
	bpf_core_read(&to->acked, sizeof(to->acked), &tcp->bytes_acked);
	bpf_core_read(&to->retransmitted, sizeof(to->retransmitted), &tcp->total_retrans);
	bpf_core_read(&to->srtt_us, sizeof(to->srtt_us), &tcp->srtt_us);
	bpf_core_read(&socket, sizeof(socket), &sk->sk_socket);
	to->has_struct_socket = socket;
	to->received_fin = flags >> SOCK_DONE & 1;
	to->sent_fin = is_after_fin(state) && to->acked && snd_una == write_seq;
	to->closed = state == BPF_TCP_CLOSE;
	return !bpf_core_read(&again, sizeof(again), &common->skc_cookie) && again == cookie;
}

/* What tells whether the client of a socket can be shown. */
struct raw_identity {
	__u16 family;
	__u16 local_port;
};

/* False: the socket is gone. */
static __noinline int read_identity(__u64 address, __u64 cookie, struct raw_identity *to)
{
	struct sock_common *common = (struct sock_common *)address;
	__u64 again = 0;

	bpf_core_read(&to->family, sizeof(to->family), &common->skc_family);
	bpf_core_read(&to->local_port, sizeof(to->local_port), &common->skc_num);
	return !bpf_core_read(&again, sizeof(again), &common->skc_cookie) && again == cookie;
}

/*
 * How many bytes of a raw count are payload for sure. A FIN is in the raw count from a moment before its mark appears, so the last byte
 * counts when its sweep and the one after find the same number, and no mark: the mark has had seconds to appear. Never too much, and
 * exact at rest. `counted`: what was payload before. `settles`: the last byte was left out then, and there is no mark. Global, so that its
 * branches are verified once.
 */
__noinline __u64 payload(__u64 raw, __u64 counted, __u32 settles)
{
	__u64 sure = raw - (raw != 0);

	if (settles && raw == counted + 1)
		sure = raw;
	return sure > counted ? sure : counted;
}

#endif
