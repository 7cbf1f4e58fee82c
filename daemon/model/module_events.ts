// SPDX-License-Identifier: Apache-2.0
/**
 * What toa.ko counts (kernel/toa_proc.c, toa_hook.c): the label of `toascope_module_events_total`,
 * and what each value means.
 */

export const moduleEvents: Readonly<Record<string, string>> = {
	verdict_toa: 'Verdict: the connection has a client.',
	verdict_none: 'Verdict: no TOA option.',
	verdict_malformed: 'Verdict: an option list was malformed, and no other list had a TOA option.',
	verdict_untrusted: 'Verdict: the sender is not trusted to name a client.',
	verdict_conflict: 'Verdict: several options differ; one of them was used.',
	option_on_syn: 'The trusted option was on the SYN.',
	option_on_ack: 'The trusted option was on the segment that created the socket, or on one without data after it.',
	option_on_data: 'The trusted option was on a segment with data.',
	asked_ok: 'An application called getsockopt(4096) and got the client.',
	asked_none: 'An application called getsockopt(4096), but the connection has no client: EINVAL.',
	asked_ipv4:
		'An application called getsockopt(4096), but the client is IPv4 and `sockopt.ipv4: refuse` withholds it: EINVAL.',
	asked_short: 'An application called getsockopt(4096) with a length below 20: EINVAL.',
	objects_allocated: 'The object of a connection was allocated.',
	objects_freed: 'The object of a connection was freed.',
	drop_no_memory: 'A connection continues without TOA: there was no memory for its object.',
	drop_full: 'A connection continues without TOA: the parameter `connections` allows no further object.',
	lost_race:
		'Two CPUs created a socket for the same connection: the one that came second was discarded, and nothing is lost.',
	repaired:
		'A probe missed the creation of a socket or could not allocate its object; a later probe created the object.',
	stale: 'A leftover entry for an earlier socket was replaced.',
	syn_evicted:
		'A set of the table of SYNs was full: an older option was discarded or, if the new one names no client, the new one.',
	missed_tcp_v4_syn_recv_sock: 'The kernel did not call the probe on `tcp_v4_syn_recv_sock`.',
	missed_tcp_v6_syn_recv_sock: 'The kernel did not call the probe on `tcp_v6_syn_recv_sock`.',
	missed_tcp_rcv_state_process: 'The kernel did not call the probe on `tcp_rcv_state_process`.',
	syn_recv_sock_toa: "The vendor's counter: connections with a client.",
	syn_recv_sock_no_toa: "The vendor's counter: connections without a client.",
	getname_toa_ok: "The vendor's counter: getsockopt(4096) calls that were answered.",
	getname_toa_mismatch: "The vendor's counter: always 0 here.",
	getname_toa_bypass: "The vendor's counter: getsockopt(4096) calls with too short a length.",
	getname_toa_empty: "The vendor's counter: getsockopt(4096) calls without an answer.",
	ip6_address_alloc: "The vendor's counter: objects allocated.",
	ip6_address_free: "The vendor's counter: objects freed.",
};
