// SPDX-License-Identifier: Apache-2.0
/** What happened in the last minutes, computed from totals that only grow. */
import { expect, test } from 'vitest';
import { Recent, type UnknownOption } from '../../../daemon/model/recent.ts';
import type { ListenerTotals, Snapshot } from '../../../daemon/model/snapshot.ts';
import { snapshot } from '../../kit/model/snapshot.ts';

const [anyListener] = snapshot.listeners as [ListenerTotals];

interface Counts {
	readonly opened: bigint;
	readonly toa?: bigint;
	readonly none?: bigint;
}

/** Totals at one time, by listener. */
function totals(listeners: Readonly<Record<string, Counts>>, drops: Readonly<Record<string, bigint>> = {}): Snapshot {
	return {
		...snapshot,
		drops,
		listeners: Object.entries(listeners).map(([listener, { opened, toa = 0n, none = 0n }]) => ({
			...anyListener,
			listener,
			total: { ...anyListener.total, opened },
			handshakes: { toa, none, malformed: 0n, untrusted: 0n, conflict: 0n },
		})),
	};
}

const unknown = (kind: number, length: number, connections: bigint): UnknownOption => ({ kind, length, connections });
const none = () => [];
const noTally = {
	opened: 0n,
	toa: 0n,
	none: 0n,
	malformed: 0n,
	untrusted: 0n,
	conflict: 0n,
	healthChecks: 0n,
	missingOptions: 0n,
	hiddenByFamily: 0n,
	onSyn: 0n,
	onAck: 0n,
	onData: 0n,
};

test('connections without an option are distinguished, and options by their segment', () => {
	const recent = new Recent(() => 0);
	const listener = (factor: bigint): ListenerTotals => ({
		...anyListener,
		handshakes: { toa: 4n * factor, none: 10n * factor, malformed: 0n, untrusted: 0n, conflict: 0n },
		withoutOption: [
			{ trusted: true, data: true, count: 1n * factor },
			{ trusted: true, data: false, count: 2n * factor },
			{ trusted: false, data: true, count: 3n * factor },
			{ trusted: false, data: false, count: 4n * factor },
		],
		hiddenByFamily: 5n * factor,
		options: [
			{ profile: 'nat64', segment: 'ack', count: 1n * factor },
			{ profile: 'toa4', segment: 'ack', count: 2n * factor },
			{ profile: 'toa4', segment: 'data', count: 1n * factor },
		],
	});
	recent.add({ ...snapshot, listeners: [listener(1n)] }, none);
	expect(recent.since({ ...snapshot, listeners: [listener(3n)] }, []).total).toEqual({
		...noTally,
		toa: 8n,
		none: 20n,
		healthChecks: 4n,
		missingOptions: 2n,
		hiddenByFamily: 10n,
		onAck: 6n,
		onData: 2n,
	});
});

test('counts from before the first collection are not recent', () => {
	const recent = new Recent(() => 0);
	const before = totals({ a: { opened: 90n, toa: 80n } }, { ring_full: 7n });
	recent.add(before, () => [unknown(99, 8, 5n)]);
	expect(recent.since(before, [unknown(99, 8, 5n)])).toEqual({
		seconds: 0,
		total: { ...noTally },
		listeners: [],
		drops: {},
		unknownOptions: [],
	});
});

test('returns differences to the first collection, the busiest listener first', () => {
	let now = 0;
	const recent = new Recent(() => now);
	recent.add(totals({ a: { opened: 90n, toa: 80n }, idle: { opened: 5n, none: 5n } }, { ring_full: 7n }), () => [
		unknown(99, 8, 5n),
	]);
	now = 30_400;
	const later = totals(
		{ a: { opened: 93n, toa: 81n, none: 2n }, idle: { opened: 5n, none: 5n }, b: { opened: 9n, toa: 9n } },
		{ ring_full: 9n, clients_full: 0n },
	);
	const result = recent.since(later, [unknown(99, 8, 6n), unknown(200, 8, 3n)]);
	expect(result).toMatchObject({
		seconds: 30,
		total: { opened: 12n, toa: 10n, none: 2n },
		drops: { ring_full: 2n },
		unknownOptions: [unknown(200, 8, 3n), unknown(99, 8, 1n)],
	});
	expect(result.listeners).toMatchObject([
		{ listener: 'b', opened: 9n, toa: 9n, hadClientBefore: 0n },
		{ listener: 'a', opened: 3n, toa: 1n, none: 2n, hadClientBefore: 80n },
	]);
	expect(result.drops).not.toHaveProperty('clients_full');
});

test('keeps five to six minutes, whatever the interval of collections', () => {
	let now = 0;
	const recent = new Recent(() => now);
	// one connection and one collection per second
	const at = () => totals({ a: { opened: BigInt(now / 1000) } });
	for (; now <= 1_200_000; now += 1000) {
		recent.add(at(), none);
		const { seconds, total } = recent.since(at(), []);
		expect(seconds).toBe(Number(total.opened));
		if (now < 300_000) expect(seconds).toBe(now / 1000);
		else expect(seconds).toBeGreaterThanOrEqual(300);
		expect(seconds).toBeLessThanOrEqual(360);
	}
});

test('a folded listener is not recent traffic of other, nor is one that returned', () => {
	let now = 0;
	const recent = new Recent(() => now);
	recent.add(totals({ a: { opened: 90n, toa: 80n }, b: { opened: 7n }, other: { opened: 5n } }), none);
	now = 60_000;
	const after = totals({ b: { opened: 1n }, other: { opened: 103n, toa: 80n } });
	const { listeners, total } = recent.since(after, []);
	expect(listeners.map(({ listener, opened, toa }) => [listener, opened, toa])).toEqual([
		['b', 1n, 0n],
		['other', 1n, 0n],
	]);
	expect(total.opened).toBe(2n);
});
