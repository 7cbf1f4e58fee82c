/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints. A BPF program on one (raw tracepoint) has the arguments of TP_PROTO unchanged:
 * client points to a struct toa_client (toa_option.h). All run before the sockops callback of the
 * same segment, with two exceptions. If a connection closes without a verdict, the callback of the
 * close comes before the verdict, and toa_pending has already passed what that callback needs. If
 * every probe missed a socket, what its SYN had is reported after the callback. They are fired only
 * by toa_trace_irqsafe(), whose comment explains why.
 */
/* The formatter does not know the macros of the tracing headers. */
/* clang-format off */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM toa

#if !defined(TOA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TOA_TRACE_H

#include <linux/in6.h>
#include <linux/tracepoint.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include "toa_option.h"

/*
 * A socket got its client: once for each socket. verdict is TOA_VERDICT_TOA or
 * TOA_VERDICT_CONFLICT.
 */
TRACE_EVENT(toa_peer,

	TP_PROTO(const struct sock *sk, const struct toa_client *client, u8 segment, u8 verdict),

	TP_ARGS(sk, client, segment, verdict),

	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u16, local_port)
		__field(u8, profile)
		__field(u8, segment)
		__field(u8, verdict)
		__array(u8, client, sizeof(struct sockaddr_in6))
	),

	TP_fast_assign(
		__entry->sk = sk;
		__entry->local_port = sk->sk_num;
		__entry->profile = client->profile;
		__entry->segment = segment;
		__entry->verdict = verdict;
		memset(__entry->client, 0, sizeof(struct sockaddr_in6));
		if (client->family == 6) {
			struct sockaddr_in6 *to = (struct sockaddr_in6 *)__entry->client;

			to->sin6_family = AF_INET6;
			to->sin6_port = htons(client->port);
			memcpy(&to->sin6_addr, client->address, sizeof(to->sin6_addr));
		} else {
			struct sockaddr_in *to = (struct sockaddr_in *)__entry->client;

			to->sin_family = AF_INET;
			to->sin_port = htons(client->port);
			memcpy(&to->sin_addr, client->address, sizeof(to->sin_addr));
		}
	),

	TP_printk("local_port=%u client=%pISpc profile=%u segment=%u verdict=%u",
		  __entry->local_port, __entry->client, __entry->profile, __entry->segment,
		  __entry->verdict)
);

/*
 * The verdict on a socket was decided, and it has no client: none, malformed or untrusted. segment
 * is where the untrusted option was, otherwise TOA_SEGMENT_NONE.
 */
TRACE_EVENT(toa_no_peer,

	TP_PROTO(const struct sock *sk, u8 segment, u8 verdict),

	TP_ARGS(sk, segment, verdict),

	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u16, local_port)
		__field(u8, segment)
		__field(u8, verdict)
	),

	TP_fast_assign(
		__entry->sk = sk;
		__entry->local_port = sk->sk_num;
		__entry->segment = segment;
		__entry->verdict = verdict;
	),

	TP_printk("local_port=%u segment=%u verdict=%u",
		  __entry->local_port, __entry->segment, __entry->verdict)
);

/*
 * A segment was read, the verdict on its socket is still pending, and something new is known: the
 * verdict on the SYN's option, with its client, in case no later segment has one
 * (TOA_VERDICT_PENDING: it had none); that a list was malformed; an option that no profile defines
 * (kind 0: none).
 */
TRACE_EVENT(toa_pending,

	TP_PROTO(const struct sock *sk, const struct toa_client *client, u8 syn_verdict,
		 u8 saw_malformed, u8 unknown_kind, u8 unknown_length),

	TP_ARGS(sk, client, syn_verdict, saw_malformed, unknown_kind, unknown_length),

	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u16, local_port)
		__field(u8, syn_verdict)
		__field(u8, saw_malformed)
		__field(u8, unknown_kind)
		__field(u8, unknown_length)
	),

	TP_fast_assign(
		__entry->sk = sk;
		__entry->local_port = sk->sk_num;
		__entry->syn_verdict = syn_verdict;
		__entry->saw_malformed = saw_malformed;
		__entry->unknown_kind = unknown_kind;
		__entry->unknown_length = unknown_length;
	),

	TP_printk("local_port=%u syn_verdict=%u saw_malformed=%u unknown_kind=%u unknown_length=%u",
		  __entry->local_port, __entry->syn_verdict, __entry->saw_malformed,
		  __entry->unknown_kind, __entry->unknown_length)
);

/*
 * The socket is being destroyed, and what was reported about it is void: another socket can get its
 * address. Comes after all other events of the socket.
 */
TRACE_EVENT(toa_gone,

	TP_PROTO(const struct sock *sk),

	TP_ARGS(sk),

	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u16, local_port)
	),

	TP_fast_assign(
		__entry->sk = sk;
		__entry->local_port = sk->sk_num;
	),

	TP_printk("local_port=%u", __entry->local_port)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE toa_trace
#include <trace/define_trace.h>
