// SPDX-License-Identifier: Apache-2.0
/** Exports spans of one connection to a receiver, for the tests of the export. */
import { afterEach, beforeEach, vi } from 'vitest';
import type { Attributes, AttributeValue } from '../../../daemon/export/otel/connection_attributes.ts';
import type { SpanExport, SpanStats } from '../../../daemon/export/otel/spans/span_export.ts';
import type { Connection } from '../../../daemon/model/connection.ts';
import { type Sample, sampleAll } from '../../../daemon/model/sampling.ts';
import { TraceIdSource } from '../../../daemon/model/trace_ids.ts';
import { type OtlpReceiver, startOtlpReceiver } from './otlp_receiver.ts';
import { openTestTelemetry, type TestOptions } from './test_telemetry.ts';

/** Wall clock minus monotonic clock. It is not a round number, so that any rounding shows. */
export const OFFSET = 1_795_400_000_123_456_789n;

export const connection: Connection = {
	cookie: 77n,
	netns: 4_026_531_840,
	local: { family: 4, text: '192.0.2.10', port: 80 },
	peer: { family: 4, text: '198.51.100.7', port: 40_001 },
	client: { family: 6, text: '2001:db8:c::1', port: 51_234 },
	virtualServer: undefined,
	verdict: 'toa',
	profile: 'nat64',
	segment: 'ack',
	state: 'closed',
	openedNs: 1_000_000_000_001n,
	acceptedNs: 1_000_000_250_002n,
	closedNs: 1_003_500_000_003n,
	seen: 'getpeername',
	owner: { by: 'accept', pid: 4321, comm: 'nginx', cgroupId: 99n },
	receivedBytes: 5_000_000_000n,
	sentBytes: 9_007_199_254_740_991n,
	retransmittedSegments: 3,
	rttNs: 12_345_125,
	error: undefined,
};

/** Attributes as the exporters pass them on. */
export const listed =
	(attributes: Readonly<Record<string, AttributeValue>>): Attributes =>
	(add) => {
		for (const [name, value] of Object.entries(attributes)) add(name, value);
	};

/** Its attributes, in its span and in its records, but for those in which the tests differ. */
export const attributesOnTheWire = {
	'client.address': '2001:db8:c::1',
	'client.port': 51_234n,
	'network.peer.address': '198.51.100.7',
	'network.peer.port': 40_001n,
	'network.local.address': '192.0.2.10',
	'network.local.port': 80n,
	'server.address': '192.0.2.10',
	'server.port': 80n,
	'network.transport': 'tcp',
	'network.type': 'ipv4',
	'process.pid': 4321n,
	'process.executable.name': 'nginx',
	'toascope.owner': 'accept',
	'toascope.verdict': 'toa',
	'toascope.profile': 'nat64',
	'toascope.segment': 'ack',
	'toascope.accept.seen': 'getpeername',
	'toascope.accept.wait_seconds': 0.000_250_001,
	'toascope.received_bytes': 5_000_000_000n,
	'toascope.retransmitted_segments': 3n,
	'toascope.rtt_seconds': 0.012_345_125,
	'toascope.netns': 4_026_531_840n,
} as const;

/** The listener whose histograms count it. */
export const listener = { slot: 3, service: 4 };

/** As the kernel samples every connection. */
export const sampled: Sample = { by: 'ratio', threshold: sampleAll };

/** An export with the number of spans that the receiver accepted. */
interface CountedExport extends Pick<SpanExport, 'onEvent' | 'sampling' | 'shutdown'> {
	stats(): SpanStats & { readonly exported: bigint };
}

type Options = Omit<TestOptions, 'config'> & Pick<TestOptions['config'], 'endpoint' | 'protocol' | 'headersFile'>;

export const traceIds = new TraceIdSource(42n, 'this boot');

const opened: SpanExport[] = [];
export let receiver: OtlpReceiver;

/** Starts an export that sends to the receiver. */
export async function start({ protocol, headersFile, ...options }: Options = {}): Promise<CountedExport> {
	const endpoint = 'endpoint' in options ? options.endpoint : receiver.endpoint;
	const { spans, health } = await openTestTelemetry({
		clock: (monotonicNs) => monotonicNs + OFFSET,
		traceIds: (connection) => traceIds.of(connection),
		...(options as Omit<TestOptions, 'config'>),
		config: { endpoint, protocol, headersFile, spans: true },
	});
	if (spans === undefined) throw new Error('the environment forbids spans');
	opened.push(spans);
	const exported = () => health.find((one) => one.statistics().signal === 'traces')?.statistics().exported ?? 0n;
	return {
		sampling: spans.sampling,
		onEvent: (event) => spans.onEvent(event),
		shutdown: (timeoutMs) => spans.shutdown(timeoutMs),
		stats: () => ({ exported: exported(), ...spans.stats() }),
	};
}

/** Reports that a connection has closed. */
export function close(
	spans: Pick<SpanExport, 'onEvent'>,
	change: Partial<Connection> = {},
	sample: Sample | undefined = sampled,
): void {
	spans.onEvent({ type: 'closed', connection: { ...connection, ...change }, listener, sample });
}

/**
 * Call once per test file. Each test gets a receiver of its own and no OTEL_* variables in its
 * environment.
 */
export function setupPerTest(): void {
	beforeEach(async () => {
		for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
		receiver = await startOtlpReceiver();
	});

	afterEach(async () => {
		await Promise.all(opened.splice(0).map((spans) => spans.shutdown(0)));
		await receiver.close();
		vi.unstubAllEnvs();
	});
}

/** Replaces the receiver of the current test. */
export async function replaceReceiver(...args: Parameters<typeof startOtlpReceiver>): Promise<void> {
	await receiver.close();
	receiver = await startOtlpReceiver(...args);
}
