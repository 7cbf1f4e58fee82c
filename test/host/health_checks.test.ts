// SPDX-License-Identifier: Apache-2.0
/**
 * Connections without an option: health checks of balancers (trusted, no data) are counted apart from connections whose option
 * was lost (trusted, with data), whichever way they end, and are in no histogram of durations or round-trip times.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, total } from '../fixtures/metrics.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { wireNetwork } from '../fixtures/wire.ts';
import type { WireConnection } from '../fixtures/wire_connection.ts';
import { WireStage } from '../fixtures/wire_stage.ts';

/** Of the wire's hosts those from 198.18.0.0 on are trusted, and these are not. */
const stranger = '198.19.0.1';

const endings = ['rst', 'fin', 'data', 'greeted', 'option', 'strange', 'strangeData'] as const;
let stage: WireStage<(typeof endings)[number]>;

beforeAll(async () => {
	stage = await WireStage.open(
		{
			rst: ['4'],
			fin: ['4'],
			data: ['4'],
			greeted: ['4', 'greeting'],
			option: ['4'],
			strange: ['4'],
			strangeData: ['4'],
		},
		{ trust: ['198.18.0.0/16'] },
	);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Counted {
	readonly without: Readonly<Record<string, bigint>>;
	readonly none: bigint;
	readonly durations: bigint;
	readonly roundTrips: bigint;
	readonly clientDurations: bigint;
}

async function counted(name: (typeof endings)[number]): Promise<Counted> {
	const listener = `${wireNetwork.server4}:${stage.listeners[name].port}`;
	const samples: Sample[] = await stage.daemon.until((now) =>
		total(now, 'toascope_connections_closed_total', { listener }) === 1n ? [...now] : undefined,
	);
	const of = (metric: string, labels: Record<string, string> = {}) => total(samples, metric, { listener, ...labels });
	const without = Object.fromEntries(
		['trusted', 'untrusted'].flatMap((peer) =>
			['yes', 'no'].map((data) => [`${peer} ${data}`, of('toascope_handshakes_without_option_total', { peer, data })]),
		),
	);
	return {
		without: Object.fromEntries(Object.entries(without).filter(([, count]) => count > 0n)),
		none: of('toascope_handshakes_total', { result: 'none' }),
		durations: of('toascope_connection_duration_seconds_count'),
		roundTrips: of('toascope_rtt_seconds_count'),
		clientDurations: of('toascope_client_connection_duration_seconds_count'),
	};
}

const healthCheck: Counted = {
	without: { 'trusted no': 1n },
	none: 1n,
	durations: 0n,
	roundTrips: 0n,
	clientDurations: 1n,
};
const inHistograms = { none: 1n, durations: 1n, roundTrips: 1n, clientDurations: 1n };

async function finish(connection: WireConnection): Promise<void> {
	connection.fin();
	connection.took(await connection.finished());
	connection.acknowledge();
}

describe('a connection without an option', () => {
	it('of a trusted peer that resets it: a health check', async () => {
		const connection = await stage.connection('rst').open();
		connection.reset();
		expect(await counted('rst')).toEqual(healthCheck);
	});

	it('of a trusted peer that ends it in order: the FIN is no data', async () => {
		const connection = await stage.connection('fin').open();
		await finish(connection);
		expect(await counted('fin')).toEqual(healthCheck);
	});

	it('of a trusted peer that is greeted and leaves: what the server sends is no data of the peer', async () => {
		const connection = await stage.connection('greeted').open();
		connection.took(await connection.next(({ length }) => length > 0));
		connection.acknowledge();
		connection.reset();
		expect(await counted('greeted')).toEqual(healthCheck);
	});

	it('of a trusted peer that sends data: its option was lost', async () => {
		const connection = await stage.connection('data').open();
		connection.data('x');
		await connection.acknowledged(1);
		await finish(connection);
		expect(await counted('data')).toEqual({ without: { 'trusted yes': 1n }, ...inHistograms });
	});

	it('of others', async () => {
		const from = { address: stranger, port: 5000 };
		(await stage.connection('strange', { from }).open()).reset();
		expect(await counted('strange')).toEqual({ without: { 'untrusted no': 1n }, ...inHistograms });
		const connection = await stage.connection('strangeData', { from: { ...from, port: 5001 } }).open();
		connection.data('x');
		await connection.acknowledged(1);
		connection.reset();
		expect(await counted('strangeData')).toEqual({ without: { 'untrusted yes': 1n }, ...inHistograms });
	});
});

it('one with an option and without data is a client', async () => {
	const connection = await stage.connection('option').open(toaOption('nat64', '2001:db8::42'));
	connection.reset();
	expect(await counted('option')).toEqual({ without: {}, ...inHistograms, none: 0n });
});
