// SPDX-License-Identifier: Apache-2.0
/**
 * Connections without an option: health checks of balancers (trusted, no data) are counted
 * separately from connections whose option was lost (trusted, with data), however they end, and are
 * not in the histograms of durations and round-trip times.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

/** Not trusted, unlike the wire's hosts in 198.18.0.0/16. */
const untrustedHost = '198.19.0.1';

const endings = ['rst', 'fin', 'data', 'greeted', 'option', 'untrusted', 'untrustedData'] as const;
let stage: WireStage<(typeof endings)[number]>;

beforeAll(async () => {
	stage = await WireStage.open(
		{
			rst: ['4'],
			fin: ['4'],
			data: ['4'],
			greeted: ['4', 'greeting'],
			option: ['4'],
			untrusted: ['4'],
			untrustedData: ['4'],
		},
		{ trust: ['198.18.0.0/16'] },
	);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Counts {
	readonly without: Readonly<Record<string, bigint>>;
	readonly none: bigint;
	readonly durations: bigint;
	readonly roundTrips: bigint;
	readonly clientDurations: bigint;
}

async function counted(name: (typeof endings)[number]): Promise<Counts> {
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

const healthCheck: Counts = {
	without: { 'trusted no': 1n },
	none: 1n,
	durations: 0n,
	roundTrips: 0n,
	clientDurations: 1n,
};
const inHistograms = { none: 1n, durations: 1n, roundTrips: 1n, clientDurations: 1n };

async function finish(connection: WireConnection): Promise<void> {
	connection.fin();
	connection.markReceived(await connection.finished());
	connection.acknowledge();
}

describe('a connection without an option', () => {
	it('of a trusted peer that resets it counts as a health check', async () => {
		const connection = await stage.connection('rst').open();
		connection.reset();
		expect(await counted('rst')).toEqual(healthCheck);
	});

	it('of a trusted peer that closes it in order counts as a health check: a FIN is not data', async () => {
		const connection = await stage.connection('fin').open();
		await finish(connection);
		expect(await counted('fin')).toEqual(healthCheck);
	});

	it('of a trusted peer that only receives data counts as a health check', async () => {
		const connection = await stage.connection('greeted').open();
		connection.markReceived(await connection.next(({ length }) => length > 0));
		connection.acknowledge();
		connection.reset();
		expect(await counted('greeted')).toEqual(healthCheck);
	});

	it('of a trusted peer that sends data counts as one whose option was lost', async () => {
		const connection = await stage.connection('data').open();
		connection.data('x');
		await connection.acknowledged(1);
		await finish(connection);
		expect(await counted('data')).toEqual({ without: { 'trusted yes': 1n }, ...inHistograms });
	});

	it('of an untrusted peer is counted separately, with and without data', async () => {
		const from = { address: untrustedHost, port: 5000 };
		(await stage.connection('untrusted', { from }).open()).reset();
		expect(await counted('untrusted')).toEqual({ without: { 'untrusted no': 1n }, ...inHistograms });
		const connection = await stage.connection('untrustedData', { from: { ...from, port: 5001 } }).open();
		connection.data('x');
		await connection.acknowledged(1);
		connection.reset();
		expect(await counted('untrustedData')).toEqual({ without: { 'untrusted yes': 1n }, ...inHistograms });
	});
});

it('a connection with an option and without data counts as that of a client', async () => {
	const connection = await stage.connection('option').open(toaOption('nat64', '2001:db8::42'));
	connection.reset();
	expect(await counted('option')).toEqual({ without: {}, ...inHistograms, none: 0n });
});
