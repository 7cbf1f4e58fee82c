// SPDX-License-Identifier: Apache-2.0
/** Connection records, from connection events to what a receiver reads off the wire. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AttributeValue } from '../../../../../daemon/export/otel/connection_attributes.ts';
import { type LogRecord, RecordWriter } from '../../../../../daemon/export/otel/logs/record_writer.ts';
import { LogRecordSchema } from '../../../../../daemon/export/otel/proto/logs.gen.ts';
import type { Connection } from '../../../../../daemon/model/connection.ts';
import { startGrpcReceiver } from '../../../../kit/telemetry/grpc_receiver.ts';
import { decodeLogsRequest } from '../../../../kit/telemetry/otlp_decode.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../../../../kit/telemetry/otlp_receiver.ts';
import { startRecords } from '../../../../kit/telemetry/records.ts';
import { attributesOnTheWire, connection, listed, OFFSET, sampled, traceIds } from '../../../../kit/telemetry/spans.ts';

const CONTAINER = 'c0ffee'.padEnd(64, '0');

let receiver: OtlpReceiver;

beforeEach(async () => {
	for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
	receiver = await startOtlpReceiver();
});

afterEach(async () => {
	await receiver.close();
	vi.unstubAllEnvs();
});

const closed = (change: Partial<Connection> = {}) =>
	({ type: 'closed', connection: { ...connection, ...change }, listener: undefined, sample: undefined }) as const;

describe('the encoding of a record', () => {
	type Given = Omit<LogRecord, 'attributes'> & { readonly attributes: Readonly<Record<string, AttributeValue>> };
	const encodable = ({ attributes, ...one }: Given): LogRecord => ({ ...one, attributes: listed(attributes) });
	const record: Given = {
		eventName: 'toascope.connection',
		timeNs: 1_795_400_000_123_456_789n,
		observedNs: 2n ** 64n - 1n,
		traceId: '00112233445566778899aabbccddeeff',
		spanId: '0123456789abcdef',
		sampled: true,
		attributes: {},
	};

	/** By @bufbuild/protobuf, from its messages. */
	function encoded({ attributes, ...rest }: Given): Uint8Array {
		const anyValueOf = (value: string | number | bigint) =>
			typeof value === 'bigint'
				? ({ case: 'intValue', value } as const)
				: typeof value === 'number'
					? ({ case: 'doubleValue', value } as const)
					: ({ case: 'stringValue', value } as const);
		return toBinary(
			LogRecordSchema,
			create(LogRecordSchema, {
				timeUnixNano: rest.timeNs,
				observedTimeUnixNano: rest.observedNs,
				severityNumber: 9,
				flags: rest.sampled ? 1 : 0,
				traceId: Buffer.from(rest.traceId, 'hex'),
				spanId: Buffer.from(rest.spanId, 'hex'),
				eventName: rest.eventName,
				attributes: Object.entries(attributes).map(([key, value]) => ({ key, value: { value: anyValueOf(value) } })),
			}),
		);
	}

	const integers = [0n, 1n, 127n, 128n, 65_535n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 35n, 2n ** 53n + 1n];
	const cases: [string, Partial<Given>][] = [
		['no attributes, no ids', { traceId: '', spanId: '', sampled: false }],
		...[...integers, 2n ** 63n - 1n, -1n, -(2n ** 63n)].map((value): [string, Partial<Given>] => [
			`the integer ${value}`,
			{ attributes: { value } },
		]),
		...[0, 0.1, -1e300, 5e-324].map((value): [string, Partial<Given>] => [
			`the double ${value}`,
			{ attributes: { value } },
		]),
		...[0, 1, 60, 100, 127, 128, 200, 16_383, 16_384, 100_000].map((length): [string, Partial<Given>] => [
			`a text of ${length} bytes`,
			{ attributes: { before: 1n, text: 'x'.repeat(length), after: 'é€😀' } },
		]),
	];
	const writer = new RecordWriter();

	it.each(cases)('%s: as @bufbuild/protobuf encodes it', (_name, change) => {
		const input = { ...record, ...change };
		expect(Buffer.from(writer.encode(encodable(input)).written).toString('hex')).toBe(
			Buffer.from(encoded(input)).toString('hex'),
		);
	});

	it('a character that is not in Unicode becomes U+FFFD', () => {
		const bytes = writer.encode(encodable({ ...record, attributes: { comm: 'a\ud800b' } })).written;
		const { attributes } = fromBinary(LogRecordSchema, bytes);
		expect(attributes[0]?.value?.value).toEqual({ case: 'stringValue', value: 'a\ufffdb' });
	});
});

describe('a record on the wire', () => {
	const expectedOf = (change: Partial<Connection> = {}) => {
		const { traceId, spanId } = traceIds.of({ ...connection, ...change });
		return {
			eventName: 'toascope.connection',
			severityNumber: 9,
			severityText: '',
			body: undefined,
			traceId,
			spanId,
			scope: { name: 'toascope', version: '1.2.3' },
		};
	};

	it('has every attribute and time, exactly', async () => {
		const before = BigInt(Date.now()) * 1_000_000n;
		const resolveContainer = ({ cgroupId }: { readonly cgroupId: bigint }) =>
			cgroupId === 99n ? CONTAINER : undefined;
		const { records } = await startRecords({ endpoint: receiver.endpoint, resolveContainer });
		records.onEvent(closed({ sentBytes: 2n ** 63n - 1n }));
		await records.shutdown(5000);
		expect(receiver.requests.map(({ path }) => path)).toEqual(['/v1/logs']);
		const [record] = receiver.records;
		expect(record).toMatchObject({ ...expectedOf(), flags: 0, timeUnixNano: 1_003_500_000_003n + OFFSET });
		expect(record?.observedTimeUnixNano).toBeGreaterThanOrEqual(before);
		expect(record?.resource).toMatchObject({ 'service.name': 'toascope' });
		expect(record?.attributes).toEqual({
			...attributesOnTheWire,
			'container.id': CONTAINER,
			'toascope.sent_bytes': 2n ** 63n - 1n,
			'toascope.state': 'closed',
			'toascope.opened_unix_nano': 1_000_000_000_001n + OFFSET,
		});
	});

	it('of an open connection has the time at which it was read', async () => {
		const { records } = await startRecords({ endpoint: receiver.endpoint });
		records.onOpen({ ...connection, state: 'open', closedNs: undefined }, 1_002_000_000_007n);
		await records.shutdown(5000);
		expect(receiver.records).toMatchObject([{ ...expectedOf(), timeUnixNano: 1_002_000_000_007n + OFFSET }]);
		expect(receiver.records[0]?.attributes).toMatchObject({ 'toascope.state': 'open' });
	});

	it('ends no earlier than it began, although the wall clock was set back', async () => {
		const clock = (ns: bigint) => ns + (ns < 1_001_000_000_000n ? OFFSET : OFFSET - 3_600_000_000_000n);
		const { records } = await startRecords({ endpoint: receiver.endpoint, clock });
		records.onEvent(closed());
		await records.shutdown(5000);
		expect(receiver.records[0]?.timeUnixNano).toBe(1_003_500_000_003n + OFFSET);
	});

	it('is flagged as sampled where the connection has a span', async () => {
		const { records } = await startRecords({ endpoint: receiver.endpoint });
		records.onEvent({ ...closed(), sample: sampled }, true);
		await records.shutdown(5000);
		expect(receiver.records).toMatchObject([{ flags: 1 }]);
	});

	it('is made for a close of a connection with a client, and for no other event', async () => {
		const { records } = await startRecords({ endpoint: receiver.endpoint });
		records.onEvent({ ...closed(), type: 'opened' });
		records.onEvent({ ...closed(), type: 'accepted' });
		records.onEvent(closed({ client: undefined }));
		records.onOpen({ ...connection, client: undefined }, 1n);
		records.onEvent(closed({ verdict: 'conflict' }));
		await records.shutdown(5000);
		expect(receiver.records.map(({ attributes }) => attributes['toascope.verdict'])).toEqual(['conflict']);
	});

	it('by gRPC goes to the logs service', async () => {
		const grpc = await startGrpcReceiver();
		try {
			const { records } = await startRecords({ endpoint: grpc.endpoint, protocol: 'grpc' });
			records.onEvent(closed());
			await records.shutdown(5000);
			expect(grpc.requests.flatMap(({ body }) => decodeLogsRequest(body))).toMatchObject([expectedOf()]);
		} finally {
			grpc.close();
		}
	});

	it('in JSON has hexadecimal ids, and integers as text', async () => {
		const { records } = await startRecords({ endpoint: receiver.endpoint, protocol: 'http/json' });
		records.onEvent(closed({ sentBytes: 2n ** 63n - 1n }));
		await records.shutdown(5000);
		const { traceId, spanId } = expectedOf();
		const [request] = receiver.requests;
		expect(JSON.parse(String(request?.body))).toMatchObject({
			resourceLogs: [
				{
					scopeLogs: [
						{
							scope: { name: 'toascope', version: '1.2.3' },
							logRecords: [
								{
									timeUnixNano: String(1_003_500_000_003n + OFFSET),
									severityNumber: 9,
									eventName: 'toascope.connection',
									traceId,
									spanId,
									attributes: expect.arrayContaining([
										{ key: 'toascope.sent_bytes', value: { intValue: String(2n ** 63n - 1n) } },
									]),
								},
							],
						},
					],
				},
			],
		});
	});
});

describe('batches', () => {
	const ofSizes = () => receiver.requests.map(({ body }) => decodeLogsRequest(body).length);

	it('are sent when they are full, and the rest after the delay', async () => {
		vi.stubEnv('OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', '4');
		vi.stubEnv('OTEL_BLRP_SCHEDULE_DELAY', '50');
		const { records, exported } = await startRecords({ endpoint: receiver.endpoint });
		for (let count = 0; count < 10; count++) records.onEvent(closed());
		await receiver.waitForRecords(10);
		expect(ofSizes()).toEqual([4, 4, 2]);
		await records.shutdown(1000);
		expect(exported()).toBe(10n);
	});

	it('wait while the receiver hangs: the queue is bounded, and a stop ends in time', async () => {
		await receiver.close();
		receiver = await startOtlpReceiver(() => 'hang');
		vi.stubEnv('OTEL_BLRP_MAX_QUEUE_SIZE', '10');
		vi.stubEnv('OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', '4');
		const lines: string[] = [];
		const { records } = await startRecords({
			endpoint: receiver.endpoint,
			onLine: (line) => void lines.push(line),
		});
		for (let count = 0; count < 25; count++) records.onEvent(closed());
		await receiver.waitForRequests(1);
		expect(records.stats()).toEqual({ pending: 10, dropped: { log_queue_full: 15n, log_export_failed: 0n } });
		const began = performance.now();
		await records.shutdown(200);
		expect(performance.now() - began).toBeLessThan(2000);
		expect(records.stats()).toEqual({ pending: 0, dropped: { log_queue_full: 15n, log_export_failed: 10n } });
		expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
			expect.objectContaining({ msg: 'connection records were lost while stopping', records: 10 }),
		);
		records.onEvent(closed());
		expect(records.stats().pending).toBe(0);
	});

	it('are sent again until the receiver accepts them', async () => {
		await receiver.close();
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '50');
		receiver = await startOtlpReceiver((request) => ({ status: request < 3 ? 503 : 200 }));
		const lines: string[] = [];
		const { records, exported } = await startRecords({
			endpoint: receiver.endpoint,
			onLine: (line) => void lines.push(line),
		});
		for (let count = 0; count < 3; count++) records.onEvent(closed());
		await records.shutdown(30_000);
		expect(receiver.records).toHaveLength(3);
		expect(exported()).toBe(3n);
		expect(records.stats().dropped).toEqual({ log_queue_full: 0n, log_export_failed: 0n });
		expect(lines.filter((line) => line.includes('not reaching'))).toHaveLength(1);
	});

	it('that are refused, and records that are rejected, are counted', async () => {
		await receiver.close();
		// ExportLogsServiceResponse { partial_success { rejected_log_records: 2, error_message: "no" } }
		receiver = await startOtlpReceiver((request) =>
			request === 0 ? { status: 400 } : { status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) },
		);
		vi.stubEnv('OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', '5');
		const { records, exported } = await startRecords({ endpoint: receiver.endpoint });
		for (let count = 0; count < 10; count++) records.onEvent(closed());
		await records.shutdown(5000);
		expect(exported()).toBe(3n);
		expect(records.stats()).toEqual({ pending: 0, dropped: { log_queue_full: 0n, log_export_failed: 7n } });
	});
});
