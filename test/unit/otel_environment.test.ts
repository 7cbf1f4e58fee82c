// SPDX-License-Identifier: Apache-2.0
/** The OTEL_* variables, one by one. */
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../daemon/config/load.ts';
import { type OtelEnvironment, readOtelEnvironment, type SignalEnvironment } from '../../daemon/otel_environment.ts';

const sent: SignalEnvironment = {
	off: undefined,
	protocol: undefined,
	unknownProtocol: undefined,
	endpoint: undefined,
};
const none: OtelEnvironment = {
	signals: { metrics: sent, traces: sent, logs: sent },
	configFile: undefined,
	samplerRatio: 1,
	spanBatches: { maxQueue: 16_384, maxBatch: 512, delayMs: 5000 },
	logBatches: { maxQueue: 16_384, maxBatch: 512, delayMs: 1000 },
	metricIntervalMs: 60_000,
	metricTimeoutMs: 30_000,
	temporality: 'cumulative',
	detectors: undefined,
	logLevel: undefined,
	problems: [],
};

/** The same change of each of these signals; the others are as without variables. */
function signals(
	change: Partial<SignalEnvironment>,
	names: (keyof OtelEnvironment['signals'])[],
): OtelEnvironment['signals'] {
	return { ...none.signals, ...Object.fromEntries(names.map((name) => [name, { ...sent, ...change }])) };
}
const all = (change: Partial<SignalEnvironment>) => ({ signals: signals(change, ['metrics', 'traces', 'logs']) });
const traces = (change: Partial<SignalEnvironment>) => ({ signals: signals(change, ['traces']) });
const metrics = (change: Partial<SignalEnvironment>) => ({ signals: signals(change, ['metrics']) });

const protocol = 'OTEL_EXPORTER_OTLP_PROTOCOL';
const tracesProtocol = 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL';
const endpoint = 'OTEL_EXPORTER_OTLP_ENDPOINT';
const metricsEndpoint = 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT';
const temporality = 'OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE';

it.each<[Record<string, string>, Partial<OtelEnvironment>]>([
	[{}, {}],
	[{ OTEL_SDK_DISABLED: 'true' }, all({ off: 'OTEL_SDK_DISABLED=true' })],
	[{ OTEL_SDK_DISABLED: ' TRUE ' }, all({ off: 'OTEL_SDK_DISABLED=TRUE' })],
	[{ OTEL_SDK_DISABLED: 'false' }, {}],
	[{ OTEL_SDK_DISABLED: '' }, {}],
	[{ OTEL_TRACES_EXPORTER: 'none' }, traces({ off: 'OTEL_TRACES_EXPORTER=none' })],
	[{ OTEL_METRICS_EXPORTER: 'none' }, metrics({ off: 'OTEL_METRICS_EXPORTER=none' })],
	[{ OTEL_LOGS_EXPORTER: 'none' }, { signals: signals({ off: 'OTEL_LOGS_EXPORTER=none' }, ['logs']) }],
	[
		{
			OTEL_BLRP_MAX_QUEUE_SIZE: '99',
			OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: '10',
			OTEL_BLRP_SCHEDULE_DELAY: '200',
		},
		{ logBatches: { maxQueue: 99, maxBatch: 10, delayMs: 200 } },
	],
	[{ OTEL_TRACES_EXPORTER: 'otlp' }, {}],
	[{ OTEL_TRACES_EXPORTER: 'OTLP' }, {}],
	[{ OTEL_TRACES_EXPORTER: '' }, {}],
	[{ OTEL_TRACES_SAMPLER: 'always_off' }, { ...traces({ off: 'OTEL_TRACES_SAMPLER=always_off' }), samplerRatio: 0 }],
	[
		{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' },
		{ ...traces({ off: 'OTEL_TRACES_SAMPLER=parentbased_always_off' }), samplerRatio: 0 },
	],
	[{ OTEL_TRACES_SAMPLER: 'parentbased_always_on' }, {}],
	[{ OTEL_TRACES_SAMPLER: 'traceidratio' }, {}],
	[{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' }, { samplerRatio: 0.25 }],
	[{ OTEL_TRACES_SAMPLER: 'ParentBased_TraceIdRatio', OTEL_TRACES_SAMPLER_ARG: '0' }, { samplerRatio: 0 }],
	[{ OTEL_TRACES_SAMPLER: 'always_on', OTEL_TRACES_SAMPLER_ARG: '0.25' }, {}],
	[{ [protocol]: 'grpc' }, all({ protocol: 'grpc' })],
	[{ [protocol]: 'http/json' }, all({ protocol: 'http/json' })],
	[{ [protocol]: 'HTTP/Protobuf' }, all({ protocol: 'http/protobuf' })],
	[
		{ [protocol]: 'grpc', [tracesProtocol]: 'http/json' },
		{ signals: { ...all({ protocol: 'grpc' }).signals, traces: { ...sent, protocol: 'http/json' } } },
	],
	[{ [protocol]: 'grpc', [tracesProtocol]: ' ' }, all({ protocol: 'grpc' })],
	[{ [protocol]: 'gprc' }, all({ unknownProtocol: { variable: protocol, value: 'gprc' } })],
	[{ [endpoint]: 'http://a:1' }, all({ endpoint: { variable: endpoint, value: 'http://a:1' } })],
	[{ [metricsEndpoint]: 'http://b:1/x' }, metrics({ endpoint: { variable: metricsEndpoint, value: 'http://b:1/x' } })],
	[{ OTEL_CONFIG_FILE: '/x.yaml' }, { configFile: { variable: 'OTEL_CONFIG_FILE', value: '/x.yaml' } }],
	[{ OTEL_BSP_MAX_QUEUE_SIZE: '10' }, { spanBatches: { ...none.spanBatches, maxQueue: 10 } }],
	[
		{ OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '4', OTEL_BSP_SCHEDULE_DELAY: '100' },
		{ spanBatches: { ...none.spanBatches, maxBatch: 4, delayMs: 100 } },
	],
	[{ OTEL_METRIC_EXPORT_INTERVAL: '1000' }, { metricIntervalMs: 1000 }],
	[{ OTEL_METRIC_EXPORT_TIMEOUT: '500' }, { metricTimeoutMs: 500 }],
	[{ [temporality]: 'DELTA' }, { temporality: 'delta' }],
	[{ [temporality]: 'lowmemory' }, { temporality: 'lowmemory' }],
	[{ OTEL_NODE_RESOURCE_DETECTORS: 'env, Host' }, { detectors: ['env', 'host'] }],
	[{ OTEL_LOG_LEVEL: 'debug' }, { logLevel: 'debug' }],
])('reads %j', (env, read) => {
	expect(readOtelEnvironment(env)).toEqual({ ...none, ...read });
});

it.each<[Record<string, string>, Partial<OtelEnvironment>, string]>([
	[{ OTEL_SDK_DISABLED: '1' }, {}, 'must be true or false: nothing is disabled'],
	[
		{ OTEL_TRACES_EXPORTER: 'console' },
		traces({ off: 'OTEL_TRACES_EXPORTER=console' }),
		'must be otlp or none: toascope has no exporter console; no traces are sent',
	],
	[
		{ OTEL_METRICS_EXPORTER: 'prometheus' },
		metrics({ off: 'OTEL_METRICS_EXPORTER=prometheus' }),
		'must be otlp or none: toascope has no exporter prometheus; no metrics are sent',
	],
	[{ OTEL_TRACES_EXPORTER: 'otlp,zipkin' }, {}, 'must be otlp or none: toascope has no exporter zipkin'],
	[{ OTEL_BSP_MAX_QUEUE_SIZE: '-1' }, {}, 'must be a whole number from 1 to 2147483647: using 16384'],
	[{ OTEL_METRIC_EXPORT_TIMEOUT: 'x' }, {}, 'must be a whole number from 1 to 2147483647: using 30000'],
	[{ OTEL_METRIC_EXPORT_INTERVAL: '0' }, {}, 'must be a whole number from 1 to 2147483647: using 60000'],
	[{ OTEL_METRIC_EXPORT_INTERVAL: '2592000000' }, {}, 'must be a whole number from 1 to 2147483647: using 60000'],
	[
		{ OTEL_TRACES_SAMPLER: 'jaeger_remote' },
		{},
		'must be [parentbased_]always_on, always_off or traceidratio: every connection is sampled',
	],
	[{ [temporality]: 'deltas' }, {}, 'must be cumulative, delta, lowmemory: using cumulative'],
])('reports a problem with %j', (env, read, message) => {
	const [[variable, value] = []] = Object.entries(env);
	expect(readOtelEnvironment(env)).toEqual({ ...none, ...read, problems: [{ variable, value, message }] });
});

const otelOf = (env: Record<string, string>) => loadConfig({ path: '/dev/null', env }).otel;

it.each([
	['no variable', {}, { spans: false, metrics: false }],
	['an endpoint', { [endpoint]: 'http://a:1' }, { spans: true, metrics: true }],
	['an endpoint for metrics', { [metricsEndpoint]: 'http://a:1' }, { spans: false, metrics: true }],
])('the variables set the defaults of the configuration: %s', (_what, env, otel) => {
	expect(otelOf(env)).toMatchObject(otel);
});

describe('nothing could be sent with', () => {
	it.each([
		[
			{ [endpoint]: 'http://a:1', [protocol]: 'gprc' },
			`${protocol}: must be grpc, http/protobuf, http/json (found: gprc)`,
		],
		[{ [endpoint]: '127.0.0.1:4318' }, `${endpoint}: must be a URL such as http://127.0.0.1:4318`],
		[{ [metricsEndpoint]: 'collector' }, `${metricsEndpoint}: must be a URL such as http://127.0.0.1:4318`],
		[
			{ OTEL_CONFIG_FILE: '/etc/otel.yaml' },
			'OTEL_CONFIG_FILE: is not supported: unset it, and set otel.* or the other OTEL_* variables',
		],
	])('%j: the configuration is invalid', (env, message) => {
		expect(() => otelOf(env as Record<string, string>)).toThrow(
			expect.objectContaining({ code: 'CONFIG_INVALID', message }),
		);
	});

	it.each<[string, Record<string, string>]>([
		['nothing is sent', { [protocol]: 'gprc' }],
		['its signals are disabled', { [endpoint]: 'http://a:1', [protocol]: 'gprc', OTEL_SDK_DISABLED: 'true' }],
		['the protocol is gRPC', { [endpoint]: 'collector:4317', [protocol]: 'grpc' }],
		['otel.protocol replaces it', { [endpoint]: 'http://a:1', [protocol]: 'gprc', TOASCOPE_OTEL_PROTOCOL: 'grpc' }],
	])('such a variable, unless %s', (_when, env) => {
		expect(() => otelOf(env)).not.toThrow();
	});
});
