// SPDX-License-Identifier: Apache-2.0
/** Everything that is not recorded has a reason: the label of `toascope_drops_total`. What each means, what to do. */

export interface DropReason {
	readonly meaning: string;
	/** Undefined: nothing is to be done. */
	readonly advice?: string;
}

export const dropReasons: Readonly<Record<string, DropReason>> = {
	answers: {
		meaning:
			'The kernel had no memory for what a connection answers beside its client: it tells no virtual server, and where profiles differ in their uses it is the client of all of them that counts, for the uses of its profile.',
		advice: 'as for `socket_storage`',
	},
	socket_storage: {
		meaning:
			'The kernel had no memory for the state of a connection: it is counted nowhere. The state counts for the option memory of its socket (`net.core.optmem_max` of its network namespace) and for the memory of the host.',
		advice:
			'raise net.core.optmem_max in the network namespace of the server where it is small; else the host is out of memory',
	},
	listeners_full: {
		meaning:
			'A connection of a listener that found no place of its own, or whose place was just being given back: it counts under `listener="other"`.',
		advice: 'narrow listeners.ports or listeners.netns, or raise listeners.max (a restart)',
	},
	clients_full: {
		meaning: 'A connection of a new client that found the table full: it counts under `client="other"`.',
		advice: 'raise clients.capacity (a restart), or shorten clients.prefix6 and clients.prefix4',
	},
	connections_full: {
		meaning:
			'A connection whose slots were all taken by open connections: it is counted exactly, but at a higher cost and its bytes only when it closes, and lookups do not find it.',
		advice: 'raise connections.max to at least twice the number of connections open at a time',
	},
	connection_evicted: {
		meaning:
			'A closed connection left the table before `connections.retain` was over: it cannot be looked up any more.',
		advice: 'raise connections.max, or lower connections.retain',
	},
	ring_full: {
		meaning: 'A record for traces and live views was lost; no counter depends on it.',
		advice: 'raise bpf.ring_bytes',
	},
	clients_per_prefix: {
		meaning:
			'A connection of a new client whose network has used its share of the table (`clients.per_prefix`): it is counted under the network, as the client `2001:db8:c::/64`. Nothing of it is lost.',
		advice: 'to tell more clients of one network apart, raise clients.per_prefix.max',
	},
	client_folding: {
		meaning: 'A connection of a client whose series was just ending: it counts under `client="other"`.',
	},
	unknown_options_full: {
		meaning: 'An option of a trusted sender that no profile takes, of one kind and length too many to be told.',
	},
	syn_not_kept: {
		meaning:
			'A listener that began while a profile is looked for on the SYN was not told to keep SYNs: the kernel refused it, or had no memory. An option on its SYNs is not seen.',
		advice: 'restart that server; its sockets may have used up net.core.optmem_max',
	},
	syn_missing: {
		meaning:
			'A connection opened while a profile is looked for on the SYN, and its SYN was not kept: an option there was not seen. Its handshake went by a SYN cookie, or its listener does not keep SYNs.',
		advice:
			'restart servers that listened before toascope, or that other programs give connections of other ports (sk_lookup); raise net.ipv4.tcp_max_syn_backlog where the kernel sends cookies',
	},
	listener_slot: {
		meaning: 'A place of the table of listeners was lost: the stack of spare places refused it.',
		advice: 'report it: this should not happen',
	},
	close_unheard: {
		meaning:
			'A connection was gone, and no callback had told of its close: it counts as closed, at most 5 s after it was last seen open. What it transferred after that is lost; without a verdict it counts as `none`.',
		advice: "another's sockops program replaces the callback flags of sockets: it should add to them",
	},
	announced_full: {
		meaning: 'What `toa.ko` said of a connection was lost on its way to the BPF programs: it counts as without TOA.',
		advice: 'report it: this should not happen',
	},
	clients_busy: {
		meaning:
			'A connection of a new client whose entry the kernel refused, since the table was in use on that CPU (EBUSY, kernels from 5.11 to 6.6): it counts under `client="other"`.',
	},
	announced_busy: {
		meaning: 'As `announced_full`: both tables for it were in use on that CPU.',
		advice: 'report it: this should not happen',
	},
	announced_stale: {
		meaning:
			'What `toa.ko` had said of a socket was still there when another socket had its address: it was thrown away.',
		advice: 'report it: this should not happen',
	},
	span_queue_full: {
		meaning: 'A span was lost: the collector does not keep up.',
		advice: 'raise OTEL_BSP_MAX_QUEUE_SIZE, or sample',
	},
	span_export_failed: {
		meaning: 'A span was lost: the collector does not take it.',
		advice: 'see the log, and otel.endpoint',
	},
};
