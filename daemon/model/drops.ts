// SPDX-License-Identifier: Apache-2.0
/**
 * Why something was not recorded: the label `reason` of `toascope_drops_total`, what each value
 * means and what to do.
 */

export interface DropReason {
	readonly meaning: string;
	/** Undefined: no action is needed. */
	readonly advice?: string;
}

/** The reasons that the daemon itself counts: from 0 on, whenever it starts. */
export const telemetryDrops = ['span_queue_full', 'span_export_failed', 'log_queue_full', 'log_export_failed'] as const;

const memoryAdvice =
	'raise net.core.optmem_max in the network namespace of the server if it is small; otherwise the host is out of memory';

export const dropReasons: Readonly<Record<string, DropReason>> = {
	answers: {
		meaning:
			"The kernel had no memory for a connection's virtual server and its clients by use: no virtual server is reported, and where profiles differ in their `uses`, the client chosen among all profiles applies, for the uses of its own profile.",
		advice: memoryAdvice,
	},
	socket_storage: {
		meaning:
			'The kernel had no memory for the state of a connection: the connection is not counted at all. The state is charged to the option memory of its socket (`net.core.optmem_max` of its network namespace) and to the memory of the host.',
		advice: memoryAdvice,
	},
	listeners_full: {
		meaning:
			'The listener of a connection found no free slot, or its slot was just being freed: the connection counts under `listener="other"`.',
		advice: 'narrow listeners.ports or listeners.netns, or raise listeners.max (requires a restart)',
	},
	clients_full: {
		meaning: 'A new client found the client table full: its connection counts under `client="other"`.',
		advice: 'raise clients.capacity (requires a restart), or shorten clients.prefix6 and clients.prefix4',
	},
	connections_full: {
		meaning:
			'All slots that a connection can use held open connections: it is counted exactly, but at a higher cost and its bytes only when it closes, and lookups do not find it.',
		advice: 'raise connections.max to at least twice the number of connections that are open at a time',
	},
	connection_evicted: {
		meaning:
			'A closed connection left the table before `connections.retain` had passed: it can no longer be looked up.',
		advice: 'raise connections.max, or lower connections.retain',
	},
	ring_full: {
		meaning: 'The ring was full, and an event for spans and connection records was dropped; no counter depends on it.',
		advice: 'raise bpf.ring_bytes',
	},
	clients_per_prefix: {
		meaning:
			'The network of a new client has used up its share of the client table (`clients.per_prefix`): the connection counts under the network, as the client `2001:db8:c::/64`. No count is lost.',
		advice: 'to distinguish more clients of one network, raise clients.per_prefix.max',
	},
	client_folding: {
		meaning: 'A connection opened just when the series of its client was ending: it counts under `client="other"`.',
	},
	unknown_options_full: {
		meaning:
			'An option of a trusted sender that no profile matches was not recorded: the table of such options, by kind and length, is full.',
	},
	syn_not_kept: {
		meaning:
			'A listener started while a profile expects the option on the SYN, but could not be set to save SYNs (TCP_SAVE_SYN): the kernel refused it or had no memory. Options on its SYNs are not seen.',
		advice: 'restart that server; its sockets may have used up net.core.optmem_max',
	},
	syn_missing: {
		meaning:
			'A connection opened while a profile expects the option on the SYN, but its SYN was not saved: an option there was not seen. Its handshake used a SYN cookie, or its listener does not save SYNs.',
		advice:
			'restart servers that were listening before toascope started, or that get connections of other ports from other programs (sk_lookup); raise net.ipv4.tcp_max_syn_backlog where the kernel sends cookies',
	},
	listener_slot: {
		meaning: 'A slot of the listener table was lost: the stack of spare slots refused it.',
		advice: 'report it: this should not happen',
	},
	close_unheard: {
		meaning:
			'A connection was gone, but no callback had reported its close: it counts as closed, at most 5 s after it was last seen open. Bytes after that are not counted; without a verdict it counts as `none`.',
		advice: 'another sockops program replaces the callback flags of sockets: it should add to them',
	},
	announced_full: {
		meaning:
			'What `toa.ko` reported about a connection did not reach the BPF programs: the connection counts as without TOA.',
		advice: 'report it: this should not happen',
	},
	clients_busy: {
		meaning:
			'The kernel refused to create the entry of a new client because the table was in use on that CPU (EBUSY, kernels from 5.11 to 6.6): the connection counts under `client="other"`.',
	},
	announced_busy: {
		meaning:
			'What `toa.ko` reported about a connection did not reach the BPF programs because both tables for it were in use on that CPU: the connection counts as without TOA.',
		advice: 'report it: this should not happen',
	},
	announced_stale: {
		meaning:
			'What `toa.ko` had reported about a socket was still there when another socket got the same kernel address: it was discarded.',
		advice: 'report it: this should not happen',
	},
	span_queue_full: {
		meaning: 'A span was dropped because the queue was full: the OTLP receiver does not keep up, or is away.',
		advice: 'raise OTEL_BSP_MAX_QUEUE_SIZE, or sample',
	},
	span_export_failed: {
		meaning: 'A span was dropped because the OTLP receiver refused it, or the daemon stopped before it was accepted.',
		advice: 'see the log, and check otel.endpoint',
	},
	log_queue_full: {
		meaning:
			'A connection record was dropped because the queue was full: the OTLP receiver does not keep up, or is away.',
		advice: 'raise OTEL_BLRP_MAX_QUEUE_SIZE, or OTEL_BLRP_MAX_EXPORT_BATCH_SIZE if each request takes long',
	},
	log_export_failed: {
		meaning:
			'A connection record was dropped because the OTLP receiver refused it, or the daemon stopped before it was accepted.',
		advice: 'see the log, and check otel.endpoint',
	},
};
