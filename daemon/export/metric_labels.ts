// SPDX-License-Identifier: Apache-2.0
/** The labels of the metrics: docs/reference/metrics.md explains them with these texts. */
import type { metricTable } from './metric_table.ts';

/** Meaning of each label. */
export const labelMeanings: Readonly<Record<(typeof metricTable)[number]['labels'][number], string>> = {
	version: 'Version of toascope.',
	node: 'Version of Node.js.',
	libbpf: 'Version of libbpf.',
	provider: 'What reads the option: `bpf` or `module`.',
	kernel: 'Release of the running kernel.',
	mode: 'The accept program: `fexit` or `getpeername`; `none` if BPF is refused and only the module is in use.',
	listener:
		'Local `ADDR:PORT`, with IPv6 in brackets; listeners with the same value in several network namespaces are summed. `other`: the listeners beyond `listeners.max`.',
	client:
		'RFC 5952 text of the address, or `ADDR/LEN` if `clients.prefix4` or `clients.prefix6` shortens it. `direct`: connections without a valid TOA option from a trusted peer. `other`: clients without series of their own.',
	result: 'The verdict: `toa`, `none`, `malformed`, `untrusted`, `conflict` (options that differ: one is used).',
	peer: 'Whether the peer is in `trust`: `trusted` or `untrusted`; if `trust` is empty, every peer is trusted.',
	data: 'Whether the peer sent data: `yes` or `no`.',
	profile: 'The name of the [profile](configuration.md#built-in-profiles) that matched the option.',
	segment:
		'The segment that carried the option: `syn`, `ack` (the segment that created the socket, or a later one without data), `data`.',
	by: 'What counted the connection. `sweep`: the daemon, once a second; `reuse`: a new connection that needed the slot before the daemon had counted it; `close`: its own close, because its state was in socket storage.',
	seen: 'How the accept was observed: `fexit`, `getpeername`, or `unseen`.',
	reason: 'The reason: [below](#reasons-of-toascope_drops_total).',
	endpoint: 'The configuration key: `listen` (`http.listen`) or `socket` (`http.socket`).',
	path: 'The path as listed in [HTTP](../http.md). `other`: any other path, and input that is not a request.',
	code: 'The status of the response. `aborted`: the response was aborted, or the caller had disconnected.',
	limit: 'The limit: [below](#limits-of-toascope_http_limited_total).',
	map: 'Name of a BPF map.',
	program: 'Name of a BPF program.',
	task: 'Tasks: `collect` (the counters), `flush` (open connections), `otlp_metrics` (the export of metrics), `drain` (events for spans and connection records), `open_records` (connection records of open connections), `clock` (jumps of the wall clock), `attachments` (programs, pins and the Unix socket). Steps that do not stop the rest when they fail: `owners` (a connection was shown without its owner), `events` and `listeners` (an event did not become a span or a connection record), `neighbours` (other daemons were not searched for), `peers` and `unknown_options` (missing in `/v1/status`, or out of date).',
	attachment:
		'Name of a BPF program; `pins`: the pins below `bpf.pin`; `http_socket`: the file of the Unix socket; `syns`: the setting of listeners to keep SYNs; of `toa.ko`: `module` (unloaded), `module_parameters` (changed), `module_probes` (switched off).',
	signal: 'The signal: `metrics`, `traces` (spans of connections) or `logs` (connection records).',
	event: 'The event that `toa.ko` counted: [below](#events-of-toascope_module_events_total).',
};

/**
 * The OpenTelemetry attributes whose names differ from `toascope.LABEL`. `listener` is
 * `server.address` and `server.port`.
 */
export const labelAttributes: Readonly<Record<string, string>> = {
	client: 'client.address',
	result: 'toascope.verdict',
	seen: 'toascope.accept.seen',
};
