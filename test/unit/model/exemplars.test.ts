// SPDX-License-Identifier: Apache-2.0
/** Exemplars: which connection a bucket shows, and when. */
import { beforeEach, describe, expect, it } from 'vitest';
import { bounds } from '../../../daemon/capture/records/records.ts';
import type { Connection } from '../../../daemon/model/connection.ts';
import { Exemplars } from '../../../daemon/model/exemplars.ts';
import { connection, listener } from '../../kit/telemetry/spans.ts';

let exemplars: Exemplars;

beforeEach(() => {
	exemplars = new Exemplars(bounds);
});

const idsOf = (number: number) => ({ traceId: `trace ${number}`, spanId: `span ${number}` });

/** Adds a connection that closed at this time (Unix nanoseconds), which its ids have, too. */
function add(at: number, change: Partial<Connection> = {}, counted: typeof listener | undefined = listener): void {
	exemplars.add(
		{ connection: { ...connection, openedNs: 1000n, ...change }, listener: counted },
		idsOf(at),
		BigInt(at),
	);
}

/** The bucket, the value and the number of each exemplar of a histogram. */
function shown(name: 'rtt' | 'duration' | 'acceptWait', of = listener): [number, bigint, string][] {
	return (exemplars.of(of)?.[name] ?? []).flatMap((one, bucket) =>
		one === undefined ? [] : [[bucket, one.valueNs, one.traceId] as [number, bigint, string]],
	);
}

describe('a connection', () => {
	it('is in one bucket of each histogram that has counted it, with its ids, its values and its time', () => {
		add(7, { rttNs: 62_501, acceptedNs: 63_500n, closedNs: 4_001_000n });
		exemplars.freeze();
		expect(exemplars.of(listener)?.rtt).toEqual([undefined, { ...idsOf(7), valueNs: 62_501n, timeNs: 7n }]);
		expect(shown('acceptWait')).toEqual([[0, 62_500n, 'trace 7']]);
		expect(shown('duration')).toEqual([[2, 4_000_000n, 'trace 7']]);
	});

	it('without an RTT sample, or whose accept was not observed, is in fewer', () => {
		add(1, { rttNs: undefined, acceptedNs: undefined });
		exemplars.freeze();
		expect([shown('rtt'), shown('acceptWait')]).toEqual([[], []]);
		expect(shown('duration')).toHaveLength(1);
	});

	it('that no histogram counts (an additional subflow of MPTCP) is nowhere', () => {
		exemplars.add({ connection, listener: undefined }, idsOf(1), 1n);
		exemplars.freeze();
		expect(exemplars.of(listener)).toBeUndefined();
	});

	it('replaces the one before in its bucket', () => {
		add(1, { closedNs: 1_000_999n });
		add(2, { closedNs: 1_001_000n });
		add(3, { closedNs: 1_001_001n });
		exemplars.freeze();
		expect(shown('duration')).toEqual([
			[0, 1_000_000n, 'trace 2'],
			[1, 1_000_001n, 'trace 3'],
		]);
	});

	it('is shown from the freeze on, and what is shown does not change', () => {
		add(1);
		expect(exemplars.of(listener)).toBeUndefined();
		exemplars.freeze();
		const first = exemplars.of(listener);
		const copy = structuredClone(first);
		add(2);
		expect(exemplars.of(listener)).toBe(first);
		exemplars.freeze();
		expect(first).toEqual(copy);
		expect(shown('rtt')).toMatchObject([[8, 12_345_125n, 'trace 2']]);
	});
});

it('the bucket is that of the kernel side at every bound', () => {
	// histogram_bucket() of bpf/count.h
	const kernel = (value: bigint, first: bigint) => {
		const rest = value > 0n ? (value - 1n) / first : 0n;
		return Math.min(rest === 0n ? 0 : rest.toString(2).length, bounds.duration.length);
	};
	const first = bounds.duration[0] ?? 0n;
	const near = bounds.duration.flatMap((bound) => [bound - 1n, bound, bound + 1n]);
	for (const value of [0n, 1n, ...near, 2n ** 62n]) {
		exemplars = new Exemplars(bounds);
		add(1, { openedNs: 0n, closedNs: value });
		exemplars.freeze();
		expect(shown('duration'), String(value)).toEqual([[kernel(value, first), value, 'trace 1']]);
	}
});

describe('a slot of the listener table', () => {
	it('keeps its exemplars while it is being folded', () => {
		add(1);
		exemplars.freeze();
		expect(exemplars.of({ ...listener, service: listener.service + 1 })).toBe(exemplars.of(listener));
	});

	it('loses them with its listener: the next one has its own', () => {
		const next = { ...listener, service: listener.service + 2 };
		add(1);
		exemplars.freeze();
		expect(exemplars.of(next)).toBeUndefined();
		add(2, {}, next);
		// a record of the earlier listener that comes late
		add(3);
		exemplars.freeze();
		expect(shown('rtt', next)).toMatchObject([[8, 12_345_125n, 'trace 2']]);
		expect(exemplars.of(listener)).toBeUndefined();
	});

	it('is apart from other slots', () => {
		add(1);
		add(2, {}, { slot: 0, service: 0 });
		exemplars.freeze();
		expect(shown('rtt')).toMatchObject([[8, 12_345_125n, 'trace 1']]);
		expect(shown('rtt', { slot: 0, service: 0 })).toMatchObject([[8, 12_345_125n, 'trace 2']]);
		expect(exemplars.of({ slot: 1, service: 0 })).toBeUndefined();
	});
});
