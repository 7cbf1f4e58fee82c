/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads what an open connection has done from its socket, by address and without the socket's lock.
 */
#ifndef TOASCOPE_RAW_SOCKET_H
#define TOASCOPE_RAW_SOCKET_H

#include "fin.h"

/* What is read from an open connection's socket. */
struct raw_socket {
	__u64 received;
	__u64 acked;
	__u32 retransmitted;
	__u32 srtt_us;
	bool received_fin;
	bool sent_fin; /* sent and acknowledged */
	bool has_struct_socket;
	bool closed;
};

/*
 * Reads a socket by its address. Its memory can be free or another socket's: then the cookie
 * differs, or cannot be read. sk_clone() clears the cookie of a socket that it creates. Returns 0
 * if the socket is gone.
 *
 * The state is read before the counts, and tcp_set_state() runs the callback before it stores the
 * state. So a program that reads TCP_CLOSE knows that the callback is over on x86; where loads are
 * reordered, that holds for the second sweep that reads it.
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

/* Determines whether the client of a socket can be shown. */
struct raw_identity {
	__u16 family;
	__u16 local_port;
};

/* Returns 0 if the socket is gone. */
static __noinline int read_identity(__u64 address, __u64 cookie, struct raw_identity *to)
{
	struct sock_common *common = (struct sock_common *)address;
	__u64 again = 0;

	bpf_core_read(&to->family, sizeof(to->family), &common->skc_family);
	bpf_core_read(&to->local_port, sizeof(to->local_port), &common->skc_num);
	return !bpf_core_read(&again, sizeof(again), &common->skc_cookie) && again == cookie;
}

/*
 * Returns how many bytes of a raw count are certainly payload. The raw count includes a FIN from a
 * moment before the FIN's mark appears. So the last byte counts only if this sweep and the one
 * before find the same number and no mark: the mark has had seconds to appear. The result is never
 * too high, and is exact at rest. `counted` is the payload found before. `is_stable` says that the
 * last byte was left out then, and that there is no mark. Global, so that the verifier checks its
 * branches once.
 */
__noinline __u64 payload(__u64 raw, __u64 counted, __u32 is_stable)
{
	__u64 sure = raw - (raw != 0);

	if (is_stable && raw == counted + 1)
		sure = raw;
	return sure > counted ? sure : counted;
}

#endif
