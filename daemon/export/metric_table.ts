// SPDX-License-Identifier: Apache-2.0
/**
 * Every metric that toascope defines: the only place with names, types, labels and help. The
 * renderer takes them from here, and docs/reference/metrics.md is generated from it. The usual
 * `process_*` and `nodejs_*` come from prom-client.
 */

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary';

export interface MetricDefinition {
	/** As exposed in the Prometheus text format: counters end in `_total`. */
	readonly name: string;
	readonly type: MetricType;
	readonly labels: readonly string[];
	/** Base unit; undefined for plain numbers. */
	readonly unit?: 'seconds' | 'bytes';
	/** One line, without a full stop at its end. */
	readonly help: string;
}

const client = ['client', 'listener'] as const;
const listener = ['listener'] as const;

export const metricTable = [
	{
		name: 'toascope_build_info',
		type: 'gauge',
		labels: ['version', 'node', 'libbpf'],
		help: 'Versions of toascope, Node.js and libbpf; always 1',
	},
	{
		name: 'toascope_provider_info',
		type: 'gauge',
		labels: ['provider', 'kernel', 'mode'],
		help: 'What reads the TOA option, on which kernel and in which mode; 1 while attached',
	},
	{
		name: 'toascope_snapshot_timestamp_seconds',
		type: 'gauge',
		labels: [],
		unit: 'seconds',
		help: 'When the numbers shown were collected; /readyz answers 503 where that is more than 15 s ago',
	},
	{
		name: 'toascope_task_failures_total',
		type: 'counter',
		labels: ['task'],
		help: 'Runs of a periodic task, or steps of one, that failed',
	},
	{
		name: 'toascope_task_duration_seconds',
		type: 'summary',
		labels: ['task'],
		unit: 'seconds',
		help: 'Duration of the runs of a periodic task: sum and number, those that failed included',
	},
	{
		name: 'toascope_log_lines_lost_total',
		type: 'counter',
		labels: [],
		help: 'Lines of the log that were thrown away: its reader stood still, or refused them',
	},
	{
		name: 'toascope_program_attached',
		type: 'gauge',
		labels: ['program'],
		help: 'Whether the kernel said at the latest check, once a second, that the program is attached',
	},
	{
		name: 'toascope_attachments_lost_total',
		type: 'counter',
		labels: ['attachment'],
		help: 'Times that something of toascope was found detached, removed or switched off by others: a program, `pins`, `http_socket`, `syns`, `module`, `module_parameters`, `module_probes`',
	},
	{
		name: 'toascope_handshakes_total',
		type: 'counter',
		labels: ['listener', 'result'],
		help: 'Connections by the verdict on their TOA option',
	},
	{
		name: 'toascope_handshakes_without_option_total',
		type: 'counter',
		labels: ['listener', 'peer', 'data'],
		help: 'Connections with result="none", by whether the peer is trusted and whether it sent data: trusted ones without data are health checks, trusted ones with data have lost their option',
	},
	{
		name: 'toascope_options_total',
		type: 'counter',
		labels: ['listener', 'profile', 'segment'],
		help: 'TOA options found, by profile and by the segment that carried them',
	},
	{
		name: 'toascope_connections_hidden_by_family_total',
		type: 'counter',
		labels: listener,
		help: 'Connections whose client is IPv6 and which transparent cannot show, since the listener is AF_INET',
	},
	{
		name: 'toascope_connections_opened_total',
		type: 'counter',
		labels: listener,
		help: 'Connections opened',
	},
	{
		name: 'toascope_connections_closed_total',
		type: 'counter',
		labels: listener,
		help: 'Connections closed',
	},
	{
		name: 'toascope_received_bytes_total',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload received from clients',
	},
	{
		name: 'toascope_sent_bytes_total',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload sent to clients and acknowledged',
	},
	{
		name: 'toascope_retransmitted_segments_total',
		type: 'counter',
		labels: listener,
		help: 'Segments retransmitted to clients',
	},
	{
		name: 'toascope_client_folded_connections_opened_total',
		type: 'counter',
		labels: listener,
		help: 'Connections opened by clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_connections_closed_total',
		type: 'counter',
		labels: listener,
		help: 'Connections closed of clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_received_bytes_total',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload received from clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_sent_bytes_total',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload sent to clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_retransmitted_segments_total',
		type: 'counter',
		labels: listener,
		help: 'Segments retransmitted to clients whose series have ended',
	},
	{
		name: 'toascope_rtt_seconds',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Smoothed round-trip time as the kernel has it, sampled at close and at most every 15 s while open; health checks are left out',
	},
	{
		name: 'toascope_connection_duration_seconds',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Time from open to close of the closed connections; health checks are left out',
	},
	{
		name: 'toascope_accept_wait_seconds',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Time from the end of the handshake until the application accepted the connection, of health checks as well',
	},
	{
		name: 'toascope_accepts_total',
		type: 'counter',
		labels: ['listener', 'seen'],
		help: 'Accepts by how they were observed',
	},
	{
		name: 'toascope_clients_tracked',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener in the table of the kernel',
	},
	{
		name: 'toascope_clients_capacity',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener that the table of the kernel can hold',
	},
	{
		name: 'toascope_clients_exported',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener with series of their own',
	},
	{
		name: 'toascope_clients_folded_total',
		type: 'counter',
		labels: [],
		help: 'Pairs of client and listener whose series were ended',
	},
	{
		name: 'toascope_listeners_folded_total',
		type: 'counter',
		labels: [],
		help: 'Listeners that were gone, and whose counts went to listener="other" when others needed their slots',
	},
	{
		name: 'toascope_clients_overflowed_total',
		type: 'counter',
		labels: [],
		help: 'Connections of new clients that found the table of the kernel full and count as other',
	},
	{
		name: 'toascope_drops_total',
		type: 'counter',
		labels: ['reason'],
		help: 'What was not recorded, by reason',
	},
	{
		name: 'toascope_connections_counted_total',
		type: 'counter',
		labels: ['by'],
		help: 'Closed connections that were added to the counters, by what added them',
	},
	{
		name: 'toascope_map_entries',
		type: 'gauge',
		labels: ['map'],
		help: 'Entries in a BPF map; for connections, places that have been used: once full it stays so',
	},
	{
		name: 'toascope_map_capacity',
		type: 'gauge',
		labels: ['map'],
		help: 'Entries that a BPF map can hold',
	},
	{
		name: 'toascope_bpf_program_runs_total',
		type: 'counter',
		labels: ['program'],
		help: 'Runs of a BPF program; only while kernel.bpf_stats_enabled is on',
	},
	{
		name: 'toascope_bpf_program_run_seconds_total',
		type: 'counter',
		labels: ['program'],
		unit: 'seconds',
		help: 'Time spent in a BPF program; only while kernel.bpf_stats_enabled is on',
	},
	{
		name: 'toascope_bpf_program_misses_total',
		type: 'counter',
		labels: ['program'],
		help: 'Calls of a BPF program on a function or a tracepoint that the kernel left out, since it was running on that CPU',
	},
	{
		name: 'toascope_module_events_total',
		type: 'counter',
		labels: ['event'],
		help: 'What toa.ko counts, as /proc/net/toa_counters and /proc/net/toa_stats have it; only with the module provider',
	},
	{
		name: 'toascope_module_connections',
		type: 'gauge',
		labels: [],
		help: 'Connections that toa.ko keeps an object for; only with the module provider',
	},
	{
		name: 'toascope_config_last_reload_successful',
		type: 'gauge',
		labels: [],
		help: 'Whether the last load of the configuration succeeded',
	},
	{
		name: 'toascope_config_last_reload_success_timestamp_seconds',
		type: 'gauge',
		labels: [],
		unit: 'seconds',
		help: 'When the configuration was last loaded with success, in seconds since 1970',
	},
	{
		name: 'toascope_http_listen_failures_total',
		type: 'counter',
		labels: ['endpoint'],
		help: 'Attempts of the HTTP server to listen that failed',
	},
	{
		name: 'toascope_http_requests_total',
		type: 'counter',
		labels: ['path', 'code'],
		help: 'HTTP requests that were answered, or whose answer was broken off',
	},
	{
		name: 'toascope_http_limited_total',
		type: 'counter',
		labels: ['limit'],
		help: 'HTTP requests refused and connections ended because of a limit',
	},
	{
		name: 'toascope_client_connections_opened_total',
		type: 'counter',
		labels: client,
		help: 'Connections opened by a client',
	},
	{
		name: 'toascope_client_connections_closed_total',
		type: 'counter',
		labels: client,
		help: 'Connections closed of a client',
	},
	{
		name: 'toascope_client_connections_active',
		type: 'gauge',
		labels: client,
		help: 'Open connections of a client',
	},
	{
		name: 'toascope_client_received_bytes_total',
		type: 'counter',
		labels: client,
		unit: 'bytes',
		help: 'Payload received from a client',
	},
	{
		name: 'toascope_client_sent_bytes_total',
		type: 'counter',
		labels: client,
		unit: 'bytes',
		help: 'Payload sent to a client and acknowledged',
	},
	{
		name: 'toascope_client_retransmitted_segments_total',
		type: 'counter',
		labels: client,
		help: 'Segments retransmitted to a client',
	},
	{
		name: 'toascope_client_rtt_seconds',
		type: 'summary',
		labels: client,
		unit: 'seconds',
		help: 'Smoothed round-trip time to a client as the kernel has it: sum and number of the samples',
	},
	{
		name: 'toascope_client_connection_duration_seconds',
		type: 'summary',
		labels: client,
		unit: 'seconds',
		help: 'Time from open to close of the closed connections of a client: sum and number',
	},
] as const satisfies readonly MetricDefinition[];

/** What each label says. */
export const labelMeanings: Readonly<Record<(typeof metricTable)[number]['labels'][number], string>> = {
	version: 'Of toascope.',
	node: 'Version of Node.js.',
	libbpf: 'Version of libbpf.',
	provider: 'What reads the option: `bpf` or `module`.',
	kernel: 'Release of the running kernel.',
	mode: 'The accept program: `fexit` or `getpeername`; `none` where BPF is refused and the module works alone.',
	listener:
		'Local `ADDR:PORT`, IPv6 in brackets; equal ones are summed over network namespaces. `other`: those beyond `listeners.max`.',
	client:
		'RFC 5952 text of the address, `ADDR/LEN` where `clients.prefix4` or `clients.prefix6` cuts it. `direct`: connections without a believable TOA. `other`: clients without series of their own.',
	result: 'The verdict: `toa`, `none`, `malformed`, `untrusted`, `conflict` (several that differ: one is believed).',
	peer: 'Whether the peer is in `trust`: `trusted` or `untrusted`; where `trust` is empty, all are trusted.',
	data: 'Whether the peer sent data: `yes` or `no`.',
	profile: 'The name of the [profile](configuration.md#built-in-profiles) that took the option.',
	segment:
		'Where the option was: `syn`, `ack` (the segment that made the socket, or one without data after it), `data`.',
	by: '`sweep`: the daemon, once a second; `reuse`: a new connection that needed the slot before the daemon had counted it; `close`: its own close, because it was in socket storage.',
	seen: 'How the accept was observed: `fexit`, `getpeername`, or `unseen`.',
	reason: 'Why: [below](#reasons-of-toascope_drops_total).',
	endpoint: 'The key of the configuration: `listen` (`http.listen`) or `socket` (`http.socket`).',
	path: 'The path as [HTTP](../http.md) has it; `other`: any other, and what is no request.',
	code: 'The status of the answer; `aborted`: it was broken off, or the caller had gone.',
	limit: 'Which one: [below](#limits-of-toascope_http_limited_total).',
	map: 'Name of a BPF map.',
	program: 'Name of a BPF program.',
	task: '`collect` (the counters), `flush` (open connections), `drain` (records for spans), `clock` (jumps of the wall clock), `attachments` (programs, pins and the Unix socket); and steps without which the rest goes on: `owners` (a connection was shown without its owner), `events`, `listeners` (a record did not become a span), `neighbours` (other daemons were not looked for), `peers`, `unknown_options` (missing in `/v1/status`, or older).',
	attachment:
		'Name of a BPF program; `pins`: below `bpf.pin`; `http_socket`: the file of the Unix socket; `syns`: listeners that were told to keep SYNs; of `toa.ko` `module` (unloaded), `module_parameters` (changed), `module_probes` (switched off).',
	event: 'What `toa.ko` counted: [below](#events-of-toascope_module_events_total).',
};

export type MetricName = (typeof metricTable)[number]['name'];

const byName = new Map<MetricName, MetricDefinition>(metricTable.map((definition) => [definition.name, definition]));

/** The definition with this name. */
export function metricDefinition(name: MetricName): MetricDefinition {
	const definition = byName.get(name);
	if (definition === undefined) throw new TypeError(`no metric is called ${name}`);
	return definition;
}
