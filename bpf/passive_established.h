/* SPDX-License-Identifier: GPL-2.0-only */
/* Handles the segment that created the socket. */
#ifndef TOASCOPE_PASSIVE_ESTABLISHED_H
#define TOASCOPE_PASSIVE_ESTABLISHED_H

#include "module_verdict.h"
#include "mptcp_subflows.h"
#include "storage.h"
#include "fast_parse.h"

/* Counts the connection that was in the slot of the new one, unless a sweep has done so. */
__noinline int reuse_slot(__u64 cookie)
{
	struct connection *connection;
	__u32 probe;
	__u8 state;

	for (probe = 0; probe < PROBES; probe++) {
		connection = connection_in(slot_at(cookie, probe));
		if (!connection)
			continue;
		state = *(volatile __u8 *)&connection->state;
		if (state == SLOT_OPEN)
			continue;
		if (state == SLOT_CLOSED)
			count_closed(connection, COUNTED_BY_REUSE);
		return 0;
	}
	return 0;
}

/* Emits the record of a connection whose verdict was decided as it opened. */
static __noinline int emit_opened(struct bpf_sock *sk, __u64 cookie)
{
	struct connection *connection = find_connection(sk, cookie);
	struct sample_facts facts = {};
	struct reserved_event reserved;
	bool is_own;

	if (!connection)
		return 0;
	reserved = reserve_event(current_settings(), connection, cookie, EVENT_OPENED, &facts);
	bpf_spin_lock(&connection->lock);
	is_own = connection->cookie == cookie;
	copy_to_event(&reserved, connection);
	bpf_spin_unlock(&connection->lock);
	finish_event(&reserved, is_own);
	return 0;
}

/*
 * Decides the verdict if fast_parse() finds the client: it is written into the entry with
 * everything else.
 */
static __always_inline void decide_at_opening(struct bpf_sock_ops *ctx, const struct settings *set,
					      const struct sock_common *sk, struct opening *opening)
{
	if (cfg.from_module || fast_parse(ctx, set, &opening->client) != TOA_FOUND_ONE)
		return;
	opening->verdict = toa_verdict_of(TOA_FOUND_ONE, trusted(set, &opening->peer));
	opening->segment = TOA_SEGMENT_ACK;
	if (toa_has_client(opening->verdict) &&
	    hidden_by_family(set, sk->skc_family, sk->skc_num, &opening->client, 0))
		opening->flags |= CONN_HIDDEN;
}

/*
 * Handles the segment that created the socket. Returns bits of enum to_do. `again`: an earlier call
 * returned OPEN_AGAIN, so this one stores the connection in any case.
 */
__noinline int connection_opened(struct bpf_sock_ops *ctx, __u64 cookie, __u32 again)
{
	const struct settings *set = current_settings();
	struct bpf_sock *sk = ctx->sk;
	const struct sock_common *common;
	struct connection *connection;
	struct endpoint local;
	struct opening opening = {};
	struct listener_at at;
	int claim = CLAIM_ALL_OPEN;
	struct tcp_sock *tcp;

	if (!sk || !set)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	common = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	/*
	 * The socket's own SYN was acknowledged: connect() created it, no process listens, and its
	 * SYN crossed the peer's (RFC 9293, section 3.5, simultaneous open). Otherwise a remote
	 * host we connect to could create listener entries for our ephemeral ports.
	 */
	if (tcp->bytes_acked || !namespace_watched(set, common))
		return 0;
	opening.cookie = cookie;
	opening.socket = (__u64)tcp;
	opening.opened_ns = bpf_ktime_get_ns();
	opening.netns = common->skc_net.net->ns.inum;
	peer_endpoint(common, &opening.peer);
	local_endpoint(common, &local);
	if (local.family == FAMILY_IPV4)
		__builtin_memcpy(&opening.local4, local.address, sizeof(opening.local4));
	opening.local_port = local.port;
	if (!is_subflow(tcp))
		decide_at_opening(ctx, set, common, &opening);
	if (!is_subflow(tcp) || !join_subflow(ctx, &opening)) {
		at = listener_of(set, &local, opening.opened_ns);
		opening.listener = at.slot;
		opening.listener_service = at.service;
	}
	if (cfg.kernel_reads)
		claim = claim_slot(&opening, set->retain_ns);
	if (claim == CLAIM_AGAIN && !again)
		return OPEN_AGAIN;
	if (claim != CLAIM_TAKEN && !store_in_socket(sk, &opening)) {
		count_drop(DROP_SOCKET_STORAGE);
		return 0;
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!opening.local4 && (opening.listener == OTHER_LISTENER || set->label_port)) {
		connection = find_connection(sk, opening.cookie);
		if (connection)
			set_extra(connection, opening.cookie, common, 0);
	}
	if (opening.flags & CONN_JOINED)
		return 0;
	if (opening.verdict != TOA_VERDICT_PENDING && event_enabled(set, EVENT_OPENED))
		emit_opened(sk, opening.cookie);
	return (opening.verdict == TOA_VERDICT_PENDING ? READ_OPTIONS : 0) |
	       (opening.flags & CONN_FALLBACK ? COUNT_IN_STORAGE : 0);
}

#endif
