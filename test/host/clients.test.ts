// SPDX-License-Identifier: Apache-2.0
/**
 * Thousands of clients through the NAT64 of the lab: the client of each connection, and every
 * counter, are compared with what the lab recorded.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Batch, ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { EchoRecords } from '../kit/daemon/echo_records.ts';
import {
	clientTotals,
	expectIdentity,
	foldedTotals,
	labTotals,
	labTotalsByClient,
	listenerTotals,
	metricsAtRest,
} from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const [nat64Port, toa6Port] = [10_001, 10_002];

let lab: Lab;
let client: LabClient;
let direct: LabClient;
const echoed = new EchoRecords();

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: nat64Port, backendPort: port, profile: 'nat64' },
			{ listenPort: toa6Port, backendPort: port, profile: 'toa6' },
		],
	});
	await lab.echoServer({ port, onRecords: echoed.onRecords });
	[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
});

afterAll(() => lab.close());

/** Each test has a daemon of its own: its counters start at 0. */
function startDaemon(...more: string[]): Promise<Daemon> {
	return Daemon.start({ config: [`listeners: {ports: [${port}]}`, `trust: [${network.pool}]`, ...more].join('\n') });
}

async function run(from: string, clients: number, batch: Partial<Batch> = {}): Promise<ConnectionResult[]> {
	const results = await client.run({ from, clients, to: nat64Server, port: nat64Port, ...batch });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	return results;
}

async function runDirect(count: number, batch: Partial<Batch> = {}): Promise<ConnectionResult[]> {
	const results = await direct.run({ count, to: network.server, port, ...batch });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	return results;
}

/** The connections that the daemon finds for each peer, in the order of `peers`. */
async function lookUp(daemon: Daemon, peers: readonly string[]): Promise<readonly ConnectionJson[][]> {
	const found: ConnectionJson[][] = [];
	for (let from = 0; from < peers.length; from += 1000) {
		const queries = peers.slice(from, from + 1000).map((peer) => ({ peer, netns: lab.netnsInode('server') }));
		const response = await fetch(`${daemon.url}/v1/connections`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ queries }),
		});
		expect(response.status).toBe(200);
		const { results } = (await response.json()) as { results: { connections: ConnectionJson[] }[] };
		found.push(...results.map(({ connections }) => connections));
	}
	return found;
}

/**
 * Asks the daemon for the client of each connection, and compares it with the client that made it.
 */
async function expectResolved(daemon: Daemon, results: readonly ConnectionResult[], expected: object): Promise<void> {
	const records = await echoed.of(results);
	const peerOf = ({ id }: ConnectionResult) => `${records.get(id)?.peer}:${records.get(id)?.peerPort}`;
	const found = await lookUp(daemon, results.map(peerOf));
	const shown = found.map((connections) =>
		connections.map(({ client: resolved, received_bytes, sent_bytes }) => ({ resolved, received_bytes, sent_bytes })),
	);
	const truth = results.map(({ client: address, clientPort, sent, received }) => [
		{ resolved: { address, port: clientPort }, received_bytes: String(sent), sent_bytes: String(received) },
	]);
	expect(shown).toEqual(truth);
	for (const [first] of found) expect(first).toMatchObject(expected);
}

const clientsOf = (samples: readonly Sample[]) => {
	const totals = clientTotals(samples, listener);
	for (const name of ['direct', 'other']) totals.delete(name);
	return totals;
};

describe('2,000 clients in one run', () => {
	it('are all resolved, each with its own counts, and every sum is exact', async () => {
		await using daemon = await startDaemon('clients: {max_exported: 2500, per_prefix: off}');
		const [once, often, straight] = await Promise.all([
			run('2001:db8:c::1', 2000, { send: 100, receive: 300 }),
			run('2001:db8:c::1', 300, { port: toa6Port, count: 601, send: 1501, receive: 70_001 }),
			runDirect(50, { send: 1000, receive: 2000 }),
		]);
		const results = [...once, ...often];
		const all = [...results, ...straight];
		const samples = await metricsAtRest(daemon, listener, all.length);

		const expected = {
			verdict: 'toa',
			segment: 'ack',
			state: 'closed',
			netns: lab.netnsInode('server'),
			local: { address: network.server, port },
		};
		await expectResolved(daemon, once, { ...expected, profile: 'nat64' });
		await expectResolved(daemon, often, { ...expected, profile: 'toa6' });

		const clients = clientsOf(samples);
		expect(clients.size).toBe(2000);
		expect(clients).toEqual(labTotalsByClient(results));
		expect(clientTotals(samples, listener).get('direct')).toEqual(labTotals(straight));
		expect(clientTotals(samples, listener).get('other')).toEqual(labTotals([]));
		expect(listenerTotals(samples, listener)).toEqual(labTotals(all));
		expectIdentity(samples, listener);

		const handshakes = (result: string) => total(samples, 'toascope_handshakes_total', { listener, result });
		expect(['toa', 'none', 'malformed', 'untrusted', 'conflict'].map(handshakes)).toEqual([2601n, 50n, 0n, 0n, 0n]);
		const options = (profile: string) => total(samples, 'toascope_options_total', { profile, segment: 'ack' });
		expect(['nat64', 'toa6'].map(options)).toEqual([2000n, 601n]);
		expect(total(samples, 'toascope_options_total')).toBe(2601n);
		expect(total(samples, 'toascope_connection_duration_seconds_count')).toBe(BigInt(all.length));
		expect(total(samples, 'toascope_accepts_total')).toBe(BigInt(all.length));
		expect(total(samples, 'toascope_drops_total')).toBe(0n);
		expect(total(samples, 'toascope_clients_tracked')).toBe(2000n);
		expect(total(samples, 'toascope_clients_exported')).toBe(2000n);
	});

	it('direct connections are not changed, and have no client', async () => {
		await using daemon = await startDaemon();
		const results = await runDirect(20, { send: 500, receive: 700 });
		const records = await echoed.of(results);
		for (const { id, client: address, clientPort } of results) {
			expect(records.get(id)).toMatchObject({ peer: address, peerPort: clientPort });
		}
		await metricsAtRest(daemon, listener, results.length);
		const found = await lookUp(
			daemon,
			results.map((result) => `${result.client}:${result.clientPort}`),
		);
		for (const connections of found) {
			expect(connections).toHaveLength(1);
			expect(connections[0]).toMatchObject({
				client: null,
				verdict: 'none',
				profile: null,
				segment: null,
				received_bytes: '500',
				sent_bytes: '700',
			});
		}
	});
});

/**
 * Reads all series again and again, and expects that no counter decreases while its series exists.
 */
function watchSeries(daemon: Daemon) {
	type Series = Readonly<Record<string, string>>;
	const counters = ['opened', 'closed'].map((which) => `connections_${which}`);
	counters.push('received_bytes', 'sent_bytes', 'retransmitted_segments', 'rtt_sum_ns', 'rtt_count', 'duration_sum_ns');
	const previous = new Map<string, Series>();
	let [stopped, snapshots, ended, latest] = [false, 0, 0, ''];

	const expectNotDecreased = (name: string, counter: string, before: Series, after: Series) => {
		const [from, to] = [BigInt(before[counter] ?? ''), BigInt(after[counter] ?? '')];
		if (to < from) throw new Error(`${counter} of ${name} decreased from ${from} to ${to}`);
	};

	const watch = async () => {
		while (!stopped) {
			const { at, clients } = await daemon.json<{ at: string; clients: Series[] }>('/v1/clients?limit=10000');
			if (at !== latest) snapshots++;
			latest = at;
			const now = new Map(clients.map((one) => [`${one['client']} ${one['listener']} ${one['since']}`, one]));
			for (const [name, before] of previous) {
				const after = now.get(name);
				if (after === undefined) ended++;
				else for (const counter of counters) expectNotDecreased(name, counter, before, after);
			}
			previous.clear();
			for (const [name, one] of now) previous.set(name, one);
		}
	};
	const watched = watch();
	return {
		get snapshots() {
			return snapshots;
		},
		get ended() {
			return ended;
		},
		stop() {
			stopped = true;
			return watched;
		},
	};
}

describe('more clients than there is room for', () => {
	it('in the kernel: the rest counts in other and as drops, and is still resolved', async () => {
		await using daemon = await startDaemon('clients: {capacity: 100, per_prefix: off}');
		const results = await run('2001:db8:c:0:1::1', 150, { count: 300, send: 200, receive: 100 });
		const samples = await metricsAtRest(daemon, listener, results.length);
		await expectResolved(daemon, results, { verdict: 'toa' });

		const clients = clientsOf(samples);
		expect(clients.size).toBe(100);
		expect(clients).toEqual(labTotalsByClient(results.filter(({ client: address }) => clients.has(address))));
		const others = results.filter(({ client: address }) => !clients.has(address));
		expect(clientTotals(samples, listener).get('other')).toEqual(labTotals(others));
		expect(listenerTotals(samples, listener)).toEqual(labTotals(results));
		expectIdentity(samples, listener);
		expect(total(samples, 'toascope_drops_total', { reason: 'clients_full' })).toBe(BigInt(others.length));
		expect(total(samples, 'toascope_clients_overflowed_total')).toBe(BigInt(others.length));
		expect(total(samples, 'toascope_clients_tracked')).toBe(100n);
		expect(total(samples, 'toascope_clients_capacity')).toBe(100n);
	});

	it('in the series: the rest counts in other, is admitted when there is room, and folded when idle', async () => {
		const config = (maxExported: number, idle: string) =>
			`clients: {max_exported: ${maxExported}, idle: ${idle}, per_prefix: off}`;
		await using daemon = await startDaemon(config(40, '1 h'));
		const first = await run('2001:db8:c:0:2::1', 100, { send: 200, receive: 100 });
		const full = await metricsAtRest(daemon, listener, 100);
		const clients = clientsOf(full);
		expect(clients.size).toBe(40);
		expect(clients).toEqual(labTotalsByClient(first.filter(({ client: address }) => clients.has(address))));
		const others = first.filter(({ client: address }) => !clients.has(address));
		expect(clientTotals(full, listener).get('other')).toEqual(labTotals(others));
		expectIdentity(full, listener);
		// the kernel drops nothing: its table has room for all of them
		expect(total(full, 'toascope_clients_tracked')).toBe(100n);
		expect(total(full, 'toascope_clients_overflowed_total')).toBe(0n);

		const reload = (more: string) =>
			daemon.reload([`listeners: {ports: [${port}]}`, `trust: [${network.pool}]`, more, 'bpf: {pin: off}'].join('\n'));
		await reload(config(60, '1 h'));
		const second = await run('2001:db8:c:0:2::1', 100, { count: 300, send: 200, receive: 100 });
		const roomier = await metricsAtRest(daemon, listener, 400);
		expect(total(roomier, 'toascope_clients_exported')).toBe(60n);
		for (const name of clients.keys()) expect(clientsOf(roomier).get(name)?.opened).toBe(4n);
		expectIdentity(roomier, listener);

		await reload(config(60, '100 ms'));
		const idle = await daemon.until((samples) => {
			// without new traffic the identity holds in every snapshot on the way
			expectIdentity(samples, listener);
			return total(samples, 'toascope_clients_tracked') === 0n ? samples : undefined;
		});
		expect(clientsOf(idle).size).toBe(0);
		expect(total(idle, 'toascope_clients_folded_total')).toBe(100n);
		expectIdentity(idle, listener);
		// the counts of the series are in `folded`; `other` is unchanged
		expect(clientTotals(idle, listener).get('other')).toEqual(clientTotals(roomier, listener).get('other'));
		const shown = [...clientsOf(roomier).values()].reduce((sum, { received }) => sum + received, 0n);
		expect(foldedTotals(idle, listener).received).toBe(shown);

		await reload(config(60, '1 h'));
		const third = await run('2001:db8:c:0:2::1', 10, { send: 300, receive: 50 });
		const back = await metricsAtRest(daemon, listener, 410);
		expect(clientsOf(back)).toEqual(labTotalsByClient(third));
		expect(listenerTotals(back, listener)).toEqual(labTotals([...first, ...second, ...third]));
		expectIdentity(back, listener);
	});

	it('under load, while they are admitted, folded and return: no counter decreases, and all sums are exact', async () => {
		await using daemon = await startDaemon(
			'clients: {capacity: 4000, max_exported: 1500, idle: 100 ms, per_prefix: off}',
		);
		const series = watchSeries(daemon);
		const results: ConnectionResult[] = [];
		// until there were enough snapshots and ended series, however fast the machine is
		for (let batch = 0; batch < 4 || series.snapshots <= 3 || series.ended <= 1000; batch++) {
			results.push(...(await run(`2001:db8:c:0:3:${batch}::1`, 1500, { send: 200, receive: 100 })));
			// some clients of the previous batch return
			if (batch > 0) results.push(...(await run(`2001:db8:c:0:3:${batch - 1}::1`, 500, { send: 50, receive: 10 })));
		}
		const rest = await metricsAtRest(daemon, listener, results.length);
		expect(listenerTotals(rest, listener)).toEqual(labTotals(results));
		expectIdentity(rest, listener);
		await daemon.until((samples) => total(samples, 'toascope_clients_tracked') === 0n || undefined);
		await series.stop();
		expectIdentity(await daemon.metrics(), listener);
	});
});
