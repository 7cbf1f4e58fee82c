// SPDX-License-Identifier: Apache-2.0
/** The OTEL_* variables, one by one. */
import { expect, it } from 'vitest';
import { loadConfig } from '../../daemon/config/load.ts';
import { type OtelEnvironment, readOtelEnvironment } from '../../daemon/otel_environment.ts';

const none: OtelEnvironment = {
	spansOff: undefined,
	protocol: undefined,
	endpoint: undefined,
	samplesAll: true,
	maxQueue: 2048,
	setsDetectors: false,
	logLevel: undefined,
	problems: [],
};
const protocol = 'OTEL_EXPORTER_OTLP_PROTOCOL';
const tracesProtocol = 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL';
const endpoint = 'OTEL_EXPORTER_OTLP_ENDPOINT';
const tracesEndpoint = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';

it.each<[Record<string, string>, Partial<OtelEnvironment>]>([
	[{}, {}],
	[{ OTEL_SDK_DISABLED: 'true' }, { spansOff: 'OTEL_SDK_DISABLED=true' }],
	[{ OTEL_SDK_DISABLED: ' TRUE ' }, { spansOff: 'OTEL_SDK_DISABLED=TRUE' }],
	[{ OTEL_SDK_DISABLED: 'false' }, {}],
	[{ OTEL_SDK_DISABLED: '' }, {}],
	[{ OTEL_TRACES_EXPORTER: 'none' }, { spansOff: 'OTEL_TRACES_EXPORTER=none' }],
	[{ OTEL_TRACES_EXPORTER: 'otlp' }, {}],
	[{ OTEL_TRACES_EXPORTER: 'OTLP' }, {}],
	[{ OTEL_TRACES_EXPORTER: '' }, {}],
	[{ OTEL_TRACES_SAMPLER: 'always_off' }, { spansOff: 'OTEL_TRACES_SAMPLER=always_off', samplesAll: false }],
	[
		{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' },
		{ spansOff: 'OTEL_TRACES_SAMPLER=parentbased_always_off', samplesAll: false },
	],
	[{ OTEL_TRACES_SAMPLER: 'parentbased_always_on' }, {}],
	[{ OTEL_TRACES_SAMPLER: 'traceidratio' }, { samplesAll: false }],
	[{ [protocol]: 'grpc' }, { protocol: 'grpc' }],
	[{ [protocol]: 'http/json' }, { protocol: 'http/json' }],
	[{ [protocol]: 'HTTP/Protobuf' }, { protocol: 'http/protobuf' }],
	[{ [protocol]: 'grpc', [tracesProtocol]: 'http/json' }, { protocol: 'http/json' }],
	[{ [protocol]: 'grpc', [tracesProtocol]: ' ' }, { protocol: 'grpc' }],
	[{ [endpoint]: 'http://a:1' }, { endpoint: { variable: endpoint, value: 'http://a:1' } }],
	[
		{ [endpoint]: 'http://a:1', [tracesEndpoint]: 'http://b:1/x' },
		{ endpoint: { variable: tracesEndpoint, value: 'http://b:1/x' } },
	],
	[{ OTEL_BSP_MAX_QUEUE_SIZE: '10' }, { maxQueue: 10 }],
	[{ OTEL_NODE_RESOURCE_DETECTORS: 'all' }, { setsDetectors: true }],
	[{ OTEL_LOG_LEVEL: 'debug' }, { logLevel: 'debug' }],
])('reads %j', (env, read) => {
	expect(readOtelEnvironment(env)).toEqual({ ...none, ...read });
});

it.each<[Record<string, string>, Partial<OtelEnvironment>, string]>([
	[{ [protocol]: 'gprc' }, {}, 'must be grpc, http/protobuf, http/json: using http/protobuf'],
	[{ OTEL_SDK_DISABLED: '1' }, {}, 'must be true or false: spans are not disabled'],
	[
		{ OTEL_TRACES_EXPORTER: 'console' },
		{ spansOff: 'OTEL_TRACES_EXPORTER=console' },
		'must be otlp or none: toascope has no exporter console; no spans are sent',
	],
	[{ OTEL_TRACES_EXPORTER: 'otlp,zipkin' }, {}, 'must be otlp or none: toascope has no exporter zipkin'],
	[{ OTEL_BSP_MAX_QUEUE_SIZE: '-1' }, {}, 'must be a whole number above 0: using 2048'],
])('reports a problem with %j', (env, read, message) => {
	const [[variable, value] = []] = Object.entries(env);
	expect(readOtelEnvironment(env)).toEqual({ ...none, ...read, problems: [{ variable, value, message }] });
});

it.each([
	['no variable', {}, { spans: false, protocol: 'http/protobuf' }],
	['an endpoint', { [endpoint]: 'http://a:1' }, { spans: true, protocol: 'http/protobuf' }],
	['endpoint and JSON', { [endpoint]: 'http://a:1', [protocol]: 'http/json' }, { spans: true, protocol: 'http/json' }],
])('the variables set the defaults of the configuration: %s', (_what, env, otel) => {
	expect(loadConfig({ path: '/dev/null', env }).otel).toMatchObject(otel);
});
