// SPDX-License-Identifier: Apache-2.0
/**
 * Every metric that toascope defines: the only place with names, types, labels and help. The
 * exporters read this table, and docs/reference/metrics.md is generated from it. The usual
 * `process_*` and `nodejs_*` come from prom-client.
 */

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary';

/**
 * Where the values come from: the latest snapshot (snapshot_points.ts), each series of a client in
 * it (client_columns.ts), the daemon itself (daemon_points.ts), or its HTTP servers
 * (http_metrics.ts).
 */
type MetricSource = 'snapshot' | 'client' | 'daemon' | 'http';

export interface MetricDefinition {
	/** As exposed in the Prometheus text format: counters end in `_total`. */
	readonly name: string;
	/**
	 * The same metric in OpenTelemetry: its name, and its unit by UCUM (case-sensitive), with what is
	 * counted in braces. The receiver of Prometheus makes `name` of the two.
	 */
	readonly otel: { readonly name: string; readonly unit: string };
	readonly source: MetricSource;
	readonly type: MetricType;
	readonly labels: readonly string[];
	/** Base unit; undefined for plain numbers. */
	readonly unit?: 'seconds' | 'bytes';
	/** One line, without a full stop at the end. */
	readonly help: string;
}

const client = ['client', 'listener'] as const;
const listener = ['listener'] as const;

export const metricTable = [
	{
		name: 'toascope_build_info',
		otel: { name: 'toascope.build.info', unit: '' },
		source: 'daemon',
		type: 'gauge',
		labels: ['version', 'node', 'libbpf'],
		help: 'Versions of toascope, Node.js and libbpf; always 1',
	},
	{
		name: 'toascope_provider_info',
		otel: { name: 'toascope.provider.info', unit: '' },
		source: 'daemon',
		type: 'gauge',
		labels: ['provider', 'kernel', 'mode'],
		help: 'What reads the TOA option, on which kernel and in which mode; 1 while attached',
	},
	{
		name: 'toascope_snapshot_timestamp_seconds',
		otel: { name: 'toascope.snapshot.timestamp', unit: 's' },
		source: 'snapshot',
		type: 'gauge',
		labels: [],
		unit: 'seconds',
		help: 'Time at which the exported counters were collected; /readyz returns 503 if that is more than 15 s ago',
	},
	{
		name: 'toascope_task_failures_total',
		otel: { name: 'toascope.task.failures', unit: '{run}' },
		source: 'daemon',
		type: 'counter',
		labels: ['task'],
		help: 'Failed runs of a periodic task, or failed steps of one',
	},
	{
		name: 'toascope_task_duration_seconds',
		otel: { name: 'toascope.task.duration', unit: 's' },
		source: 'daemon',
		type: 'summary',
		labels: ['task'],
		unit: 'seconds',
		help: 'Duration of the runs of a periodic task, including failed runs: sum and count',
	},
	{
		name: 'toascope_log_lines_lost_total',
		otel: { name: 'toascope.log.lines.lost', unit: '{line}' },
		source: 'daemon',
		type: 'counter',
		labels: [],
		help: 'Log lines that were discarded because the reader of the log stalled or refused them',
	},
	{
		name: 'toascope_program_attached',
		otel: { name: 'toascope.program.attached', unit: '' },
		source: 'daemon',
		type: 'gauge',
		labels: ['program'],
		help: 'Whether the kernel reported the program as attached at the latest check, which runs once a second',
	},
	{
		name: 'toascope_attachments_lost_total',
		otel: { name: 'toascope.attachments.lost', unit: '{loss}' },
		source: 'daemon',
		type: 'counter',
		labels: ['attachment'],
		help: 'Times that a part of toascope was found detached, removed or switched off by another process: a program, `pins`, `http_socket`, `syns`, `module`, `module_parameters`, `module_probes`',
	},
	{
		name: 'toascope_handshakes_total',
		otel: { name: 'toascope.handshakes', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['listener', 'result'],
		help: 'Connections by the verdict on their TOA option',
	},
	{
		name: 'toascope_handshakes_without_option_total',
		otel: { name: 'toascope.handshakes.without_option', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['listener', 'peer', 'data'],
		help: 'Connections with result="none", by whether the peer is trusted and whether it sent data: from trusted peers, those without data are health checks, and those with data have lost their option',
	},
	{
		name: 'toascope_options_total',
		otel: { name: 'toascope.options', unit: '{option}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['listener', 'profile', 'segment'],
		help: 'TOA options found, by profile and by the segment that carried them',
	},
	{
		name: 'toascope_connections_hidden_by_family_total',
		otel: { name: 'toascope.connections.hidden_by_family', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Connections from IPv6 clients that `transparent` cannot show because the listener is AF_INET',
	},
	{
		name: 'toascope_connections_opened_total',
		otel: { name: 'toascope.connections.opened', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Connections opened',
	},
	{
		name: 'toascope_connections_closed_total',
		otel: { name: 'toascope.connections.closed', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Connections closed',
	},
	{
		name: 'toascope_received_bytes_total',
		otel: { name: 'toascope.received', unit: 'By' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload received from clients',
	},
	{
		name: 'toascope_sent_bytes_total',
		otel: { name: 'toascope.sent', unit: 'By' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload sent to clients and acknowledged',
	},
	{
		name: 'toascope_retransmitted_segments_total',
		otel: { name: 'toascope.retransmitted_segments', unit: '{segment}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Segments retransmitted to clients',
	},
	{
		name: 'toascope_client_folded_connections_opened_total',
		otel: { name: 'toascope.client.folded.connections.opened', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Connections opened by clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_connections_closed_total',
		otel: { name: 'toascope.client.folded.connections.closed', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Closed connections of clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_received_bytes_total',
		otel: { name: 'toascope.client.folded.received', unit: 'By' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload received from clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_sent_bytes_total',
		otel: { name: 'toascope.client.folded.sent', unit: 'By' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		unit: 'bytes',
		help: 'Payload sent to clients whose series have ended',
	},
	{
		name: 'toascope_client_folded_retransmitted_segments_total',
		otel: { name: 'toascope.client.folded.retransmitted_segments', unit: '{segment}' },
		source: 'snapshot',
		type: 'counter',
		labels: listener,
		help: 'Segments retransmitted to clients whose series have ended',
	},
	{
		name: 'toascope_rtt_seconds',
		otel: { name: 'toascope.rtt', unit: 's' },
		source: 'snapshot',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Smoothed round-trip time as estimated by the kernel, sampled at close and at most every 15 s while open; health checks are excluded',
	},
	{
		name: 'toascope_connection_duration_seconds',
		otel: { name: 'toascope.connection.duration', unit: 's' },
		source: 'snapshot',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Time from open to close of the closed connections; health checks are excluded',
	},
	{
		name: 'toascope_accept_wait_seconds',
		otel: { name: 'toascope.accept.wait', unit: 's' },
		source: 'snapshot',
		type: 'histogram',
		labels: listener,
		unit: 'seconds',
		help: 'Time from the end of the handshake until the application accepted the connection; health checks are included',
	},
	{
		name: 'toascope_accepts_total',
		otel: { name: 'toascope.accepts', unit: '{accept}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['listener', 'seen'],
		help: 'Accepts by how they were observed',
	},
	{
		name: 'toascope_clients_tracked',
		otel: { name: 'toascope.clients.tracked', unit: '{client}' },
		source: 'snapshot',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener in the kernel table',
	},
	{
		name: 'toascope_clients_capacity',
		otel: { name: 'toascope.clients.capacity', unit: '{client}' },
		source: 'snapshot',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener that the kernel table can hold',
	},
	{
		name: 'toascope_clients_exported',
		otel: { name: 'toascope.clients.exported', unit: '{client}' },
		source: 'snapshot',
		type: 'gauge',
		labels: [],
		help: 'Pairs of client and listener with series of their own',
	},
	{
		name: 'toascope_clients_folded_total',
		otel: { name: 'toascope.clients.folded', unit: '{client}' },
		source: 'snapshot',
		type: 'counter',
		labels: [],
		help: 'Pairs of client and listener that were folded: their series have ended',
	},
	{
		name: 'toascope_listeners_folded_total',
		otel: { name: 'toascope.listeners.folded', unit: '{listener}' },
		source: 'snapshot',
		type: 'counter',
		labels: [],
		help: 'Closed listeners whose counts moved to listener="other" because other listeners needed their slots',
	},
	{
		name: 'toascope_clients_overflowed_total',
		otel: { name: 'toascope.clients.overflowed', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: [],
		help: 'Connections of new clients that are counted as client="other" because the kernel table was full',
	},
	{
		name: 'toascope_drops_total',
		otel: { name: 'toascope.drops', unit: '{drop}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['reason'],
		help: 'What was not recorded, by reason',
	},
	{
		name: 'toascope_connections_counted_total',
		otel: { name: 'toascope.connections.counted', unit: '{connection}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['by'],
		help: 'Closed connections that were added to the counters, by what added them',
	},
	{
		name: 'toascope_map_entries',
		otel: { name: 'toascope.map.entries', unit: '{entry}' },
		source: 'snapshot',
		type: 'gauge',
		labels: ['map'],
		help: 'Entries in a BPF map; for `connections`, slots that have ever been used: once full, it stays full',
	},
	{
		name: 'toascope_map_capacity',
		otel: { name: 'toascope.map.capacity', unit: '{entry}' },
		source: 'snapshot',
		type: 'gauge',
		labels: ['map'],
		help: 'Entries that a BPF map can hold',
	},
	{
		name: 'toascope_bpf_program_runs_total',
		otel: { name: 'toascope.bpf.program.runs', unit: '{run}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['program'],
		help: 'Runs of a BPF program; only while kernel.bpf_stats_enabled is on',
	},
	{
		name: 'toascope_bpf_program_run_seconds_total',
		otel: { name: 'toascope.bpf.program.run', unit: 's' },
		source: 'snapshot',
		type: 'counter',
		labels: ['program'],
		unit: 'seconds',
		help: 'Time spent in a BPF program; only while kernel.bpf_stats_enabled is on',
	},
	{
		name: 'toascope_bpf_program_misses_total',
		otel: { name: 'toascope.bpf.program.misses', unit: '{run}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['program'],
		help: 'Runs of a BPF program on a function or a tracepoint that the kernel skipped because the program was already running on that CPU',
	},
	{
		name: 'toascope_module_events_total',
		otel: { name: 'toascope.module.events', unit: '{event}' },
		source: 'snapshot',
		type: 'counter',
		labels: ['event'],
		help: 'Events counted by toa.ko, as in /proc/net/toa_counters and /proc/net/toa_stats; only with the module provider',
	},
	{
		name: 'toascope_module_connections',
		otel: { name: 'toascope.module.connections', unit: '{connection}' },
		source: 'snapshot',
		type: 'gauge',
		labels: [],
		help: 'Connections for which toa.ko keeps an object; only with the module provider',
	},
	{
		name: 'toascope_config_last_reload_successful',
		otel: { name: 'toascope.config.last_reload.successful', unit: '' },
		source: 'daemon',
		type: 'gauge',
		labels: [],
		help: 'Whether the last load of the configuration succeeded',
	},
	{
		name: 'toascope_config_last_reload_success_timestamp_seconds',
		otel: { name: 'toascope.config.last_reload.success.timestamp', unit: 's' },
		source: 'daemon',
		type: 'gauge',
		labels: [],
		unit: 'seconds',
		help: 'Time of the last successful load of the configuration, in seconds since 1970',
	},
	{
		name: 'toascope_http_listen_failures_total',
		otel: { name: 'toascope.http.listen.failures', unit: '{attempt}' },
		source: 'daemon',
		type: 'counter',
		labels: ['endpoint'],
		help: 'Failed attempts of the HTTP server to listen',
	},
	{
		name: 'toascope_http_requests_total',
		otel: { name: 'toascope.http.requests', unit: '{request}' },
		source: 'http',
		type: 'counter',
		labels: ['path', 'code'],
		help: 'HTTP requests that were answered, or whose response was aborted',
	},
	{
		name: 'toascope_http_limited_total',
		otel: { name: 'toascope.http.limited', unit: '{request}' },
		source: 'http',
		type: 'counter',
		labels: ['limit'],
		help: 'HTTP requests refused and connections closed because of a limit',
	},
	{
		name: 'toascope_data_points_exported_total',
		otel: { name: 'toascope.data_points.exported', unit: '{data_point}' },
		source: 'daemon',
		type: 'counter',
		labels: [],
		help: 'Data points of metrics that the OTLP receiver accepted; only while metrics are sent',
	},
	{
		name: 'toascope_spans_exported_total',
		otel: { name: 'toascope.spans.exported', unit: '{span}' },
		source: 'daemon',
		type: 'counter',
		labels: [],
		help: 'Spans that the OTLP receiver accepted; only while spans are sent',
	},
	{
		name: 'toascope_log_records_exported_total',
		otel: { name: 'toascope.log_records.exported', unit: '{log_record}' },
		source: 'daemon',
		type: 'counter',
		labels: [],
		help: 'Connection records that the OTLP receiver accepted; only while they are sent',
	},
	{
		name: 'toascope_connection_retained_seconds',
		otel: { name: 'toascope.connection.retained', unit: 's' },
		source: 'daemon',
		type: 'gauge',
		labels: [],
		unit: 'seconds',
		help: 'For how long closed connections can be looked up: the age of the youngest that had to leave the connection table in the last minutes, or connections.retain if none had to',
	},
	{
		name: 'toascope_span_sampling_ratio',
		otel: { name: 'toascope.span.sampling.ratio', unit: '1' },
		source: 'daemon',
		type: 'gauge',
		labels: [],
		help: 'Part of the connections with TOA that have a span: otel.sampling.ratio, or less while they close faster than spans can be sent; only while spans are sent',
	},
	{
		name: 'toascope_otlp_rejected_total',
		otel: { name: 'toascope.otlp.rejected', unit: '{item}' },
		source: 'daemon',
		type: 'counter',
		labels: ['signal'],
		help: 'Data points, spans and connection records that the OTLP receiver rejected in a request that it accepted',
	},
	{
		name: 'toascope_otlp_failed_requests_total',
		otel: { name: 'toascope.otlp.failed_requests', unit: '{request}' },
		source: 'daemon',
		type: 'counter',
		labels: ['signal'],
		help: 'Requests that the OTLP receiver did not accept, after their retries',
	},
	{
		name: 'toascope_client_connections_opened_total',
		otel: { name: 'toascope.client.connections.opened', unit: '{connection}' },
		source: 'client',
		type: 'counter',
		labels: client,
		help: 'Connections opened by a client',
	},
	{
		name: 'toascope_client_connections_closed_total',
		otel: { name: 'toascope.client.connections.closed', unit: '{connection}' },
		source: 'client',
		type: 'counter',
		labels: client,
		help: 'Closed connections of a client',
	},
	{
		name: 'toascope_client_connections_active',
		otel: { name: 'toascope.client.connections.active', unit: '{connection}' },
		source: 'client',
		type: 'gauge',
		labels: client,
		help: 'Open connections of a client',
	},
	{
		name: 'toascope_client_received_bytes_total',
		otel: { name: 'toascope.client.received', unit: 'By' },
		source: 'client',
		type: 'counter',
		labels: client,
		unit: 'bytes',
		help: 'Payload received from a client',
	},
	{
		name: 'toascope_client_sent_bytes_total',
		otel: { name: 'toascope.client.sent', unit: 'By' },
		source: 'client',
		type: 'counter',
		labels: client,
		unit: 'bytes',
		help: 'Payload sent to a client and acknowledged',
	},
	{
		name: 'toascope_client_retransmitted_segments_total',
		otel: { name: 'toascope.client.retransmitted_segments', unit: '{segment}' },
		source: 'client',
		type: 'counter',
		labels: client,
		help: 'Segments retransmitted to a client',
	},
	{
		name: 'toascope_client_rtt_seconds',
		otel: { name: 'toascope.client.rtt', unit: 's' },
		source: 'client',
		type: 'summary',
		labels: client,
		unit: 'seconds',
		help: 'Smoothed round-trip time to a client as estimated by the kernel: sum and count of the samples',
	},
	{
		name: 'toascope_client_connection_duration_seconds',
		otel: { name: 'toascope.client.connection.duration', unit: 's' },
		source: 'client',
		type: 'summary',
		labels: client,
		unit: 'seconds',
		help: 'Time from open to close of the closed connections of a client: sum and count',
	},
] as const satisfies readonly MetricDefinition[];

export type MetricName = (typeof metricTable)[number]['name'];

/** The names of the metrics that have this source. */
export type MetricOf<Source extends MetricSource> = Extract<(typeof metricTable)[number], { source: Source }>['name'];

const byName = new Map<MetricName, MetricDefinition>(metricTable.map((definition) => [definition.name, definition]));

/** The definition with this name. */
export function metricDefinition(name: MetricName): MetricDefinition {
	const definition = byName.get(name);
	if (definition === undefined) throw new TypeError(`no metric is named ${name}`);
	return definition;
}
