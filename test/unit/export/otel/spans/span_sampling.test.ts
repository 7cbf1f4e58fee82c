// SPDX-License-Identifier: Apache-2.0
/** Sampling by ratio, and by a lower one while connections close faster than spans can be sent. */
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { SpanSampling } from '../../../../../daemon/export/otel/spans/span_sampling.ts';
import type { ConnectionEvent } from '../../../../../daemon/model/connection.ts';
import { ratioOf, type Sample, sampleAll, thresholdOf, traceRandomness } from '../../../../../daemon/model/sampling.ts';
import { close, connection, receiver, setupPerTest, start } from '../../../../kit/telemetry/spans.ts';

setupPerTest();

interface Setup {
	readonly sampling: SpanSampling;
	/** What was put in force in the kernel, latest last. */
	readonly thresholds: bigint[];
	readonly logged: string[];
}

function setup(ratio: number, relievesRing = true): Setup {
	const thresholds: bigint[] = [];
	const logged: string[] = [];
	const logger = pino(
		{ level: 'info' },
		{ write: (line) => void logged.push((JSON.parse(line) as { msg: string }).msg) },
	);
	const setThreshold = (threshold: bigint) => void thresholds.push(threshold);
	return { sampling: new SpanSampling({ ratio, setThreshold, relievesRing, logger }), thresholds, logged };
}

function closed(index: number, sample: Sample | undefined): ConnectionEvent {
	return { type: 'closed', connection: { ...connection, cookie: BigInt(index) }, listener: undefined, sample };
}

/** As the kernel samples the connection. */
function bySetThreshold(index: number, threshold: bigint): Sample | undefined {
	const { openedNs } = connection;
	return traceRandomness({ cookie: BigInt(index), openedNs }) < threshold ? undefined : { by: 'ratio', threshold };
}

describe('a connection', () => {
	it('that is not sampled has no span', () => {
		expect(setup(1).sampling.admit(closed(1, undefined), 0)).toBeUndefined();
	});

	it('that the kernel sampled carries the threshold that was in force, also after a reload', () => {
		const { sampling } = setup(1);
		const quarter = thresholdOf(0.25);
		expect(sampling.admit(closed(1, { by: 'ratio', threshold: quarter }), 0)).toBe(quarter);
		expect(sampling.admit(closed(1, { by: 'ratio', threshold: sampleAll }), 0)).toBe(sampleAll);
	});

	it('that met a condition stands for itself, however full the queue is', () => {
		const { sampling } = setup(0);
		expect(sampling.admit(closed(1, { by: 'condition', threshold: sampleAll }), 0.99)).toBe(sampleAll);
	});
});

it('puts the configured ratio in force in the kernel, and another one after a reload', () => {
	const { sampling, thresholds } = setup(0.5);
	sampling.configure(0.5);
	sampling.configure(0.125);
	expect(thresholds).toEqual([thresholdOf(0.5), thresholdOf(0.125)]);
	expect(sampling.ratios).toEqual({ configured: 0.125, current: 0.125 });
});

describe('a queue that fills', () => {
	it('thins out what follows, and what is queued still stands for all connections', () => {
		const { sampling } = setup(1);
		const [room, connections] = [2048, 20_000];
		let queued = 0;
		let standFor = 0;
		for (let i = 0; i < connections; i++) {
			const threshold = sampling.admit(closed(i, { by: 'ratio', threshold: sampleAll }), queued / room);
			if (threshold === undefined) continue;
			queued++;
			standFor += 1 / ratioOf(threshold);
		}
		expect(queued).toBeLessThan(room);
		expect(Math.abs(standFor / connections - 1)).toBeLessThan(0.2);
	});

	it('lets the kernel sample less, unless it is full because the receiver is away', () => {
		const { sampling, thresholds } = setup(1);
		sampling.admit(closed(1, { by: 'ratio', threshold: sampleAll }), 0.9, true);
		sampling.adjust(0, 1000);
		expect(thresholds).toEqual([sampleAll]);
		sampling.admit(closed(1, { by: 'ratio', threshold: sampleAll }), 0.9, false);
		sampling.adjust(0, 2000);
		expect(thresholds).toEqual([sampleAll, thresholdOf(0.5)]);
	});
});

describe('a ring that fills', () => {
	it('halves the ratio until the daemon keeps up; the ratio rises again when it is calm', () => {
		const { sampling, thresholds, logged } = setup(0.5);
		let nowMs = 10_000;
		for (let drain = 0; drain < 6; drain++, nowMs += 50) sampling.adjust(0.6, nowMs);
		expect(sampling.ratios).toEqual({ configured: 0.5, current: 0.0625 });
		// a record that is still in the ring, from before: the kernel had sampled it
		const index = Array.from({ length: 100 }, (_, i) => i).find(
			(i) => bySetThreshold(i, thresholdOf(0.5)) !== undefined && bySetThreshold(i, thresholdOf(0.0625)) === undefined,
		);
		expect(sampling.admit(closed(index ?? 0, { by: 'ratio', threshold: thresholdOf(0.5) }), 0)).toBeUndefined();
		for (let drain = 0; drain < 2000; drain++, nowMs += 50) sampling.adjust(0.01, nowMs);
		expect(sampling.ratios.current).toBe(0.5);
		expect(thresholds.at(-1)).toBe(thresholdOf(0.5));
		expect(logged).toEqual([
			'fewer connections have a span: they close faster than spans can be sent',
			'as many connections have a span as configured again',
		]);
	});

	it('changes nothing if its records are needed in any case', () => {
		const { sampling, thresholds } = setup(1, false);
		for (let drain = 0; drain < 20; drain++) sampling.adjust(1, drain * 100);
		expect(thresholds).toEqual([sampleAll]);
	});

	it('keeps its lower ratio over a reload, unless that asks for less', () => {
		const { sampling, logged } = setup(1);
		sampling.adjust(0.6, 1000);
		sampling.adjust(0.6, 1100);
		sampling.configure(0.5);
		expect(sampling.ratios).toEqual({ configured: 0.5, current: 0.25 });
		sampling.configure(0.125);
		expect(sampling.ratios).toEqual({ configured: 0.125, current: 0.125 });
		expect(logged.at(-1)).toBe('as many connections have a span as configured again');
	});

	it('is halved at most ten times, and a configured 0 is left alone', () => {
		const { sampling } = setup(1);
		for (let drain = 0; drain < 200; drain++) sampling.adjust(1, drain * 100);
		expect(sampling.ratios.current).toBe(2 ** -10);
		const none = setup(0);
		none.sampling.adjust(1, 1000);
		expect(none.thresholds).toHaveLength(1);
		expect(none.logged).toEqual([]);
	});
});

it('writes the threshold into the tracestate of the span', async () => {
	const spans = await start();
	close(spans);
	close(spans, { cookie: 78n }, { by: 'ratio', threshold: thresholdOf(0.01) });
	await spans.shutdown(2000);
	expect(receiver.spans.map(({ traceState }) => traceState)).toEqual(['ot=th:0', 'ot=th:fd70a3d70a3d71']);
});
