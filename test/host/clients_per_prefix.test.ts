// SPDX-License-Identifier: Apache-2.0
/**
 * A network with many addresses has a share of the client table. Its clients beyond the share are
 * counted as one client.
 */
import { rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import {
	clientTotals,
	expectIdentity,
	labTotals,
	labTotalsByClient,
	metricsAtRest,
} from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;

let lab: Lab;
let client: LabClient;

beforeAll(async () => {
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	await lab.echoServer({ port });
	client = await lab.client();
});
afterAll(() => lab.close());

const startDaemon = (clients: string) =>
	Daemon.start({ config: [`listeners: {ports: [${port}]}`, `clients: ${clients}`].join('\n') });

async function run(from: string, clients: number, count = clients): Promise<ConnectionResult[]> {
	const results = await client.run({
		from,
		clients,
		count,
		to: nat64Server,
		port: listenPort,
		send: 100,
		receive: 300,
	});
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	return results;
}

it('counts the clients beyond the share as their network, and every other client by itself', async () => {
	await using daemon = await startDaemon('{per_prefix: {prefix6: 112, max: 8}}');
	const share = await run('2001:db8:c::1:1', 8);
	await metricsAtRest(daemon, listener, 8);
	const beyond = await run('2001:db8:c::1:100', 300, 900);
	const others = [...(await run('2001:db8:c::2:1', 8)), ...(await run('2001:db8:c::1:1', 8))];
	const samples = await metricsAtRest(daemon, listener, 924);
	const totals = clientTotals(samples, listener);
	for (const name of ['direct', 'other']) totals.delete(name);
	expect(totals).toEqual(
		new Map([...labTotalsByClient([...share, ...others]), ['2001:db8:c::1:0/112', labTotals(beyond)]]),
	);
	expectIdentity(samples, listener);
	expect(total(samples, 'toascope_clients_tracked')).toBe(17n);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_full' })).toBe(0n);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' })).toBe(900n);
});

it('leaves room in the table for others beside thousands of addresses of one network', async () => {
	await using daemon = await startDaemon('{capacity: 512, per_prefix: {prefix6: 112}}');
	await run('2001:db8:c::1:1', 3000);
	await metricsAtRest(daemon, listener, 3000);
	const others = await run('2001:db8:c::2:1', 100);
	const samples = await metricsAtRest(daemon, listener, 3100);
	const totals = clientTotals(samples, listener);
	for (const [address, expected] of labTotalsByClient(others)) expect(totals.get(address)).toEqual(expected);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_full' })).toBe(0n);
	expectIdentity(samples, listener);
});

it('a network has its share again when its clients have been folded', async () => {
	await using daemon = await startDaemon('{per_prefix: {prefix6: 112, max: 4}, idle: 200ms}');
	await run('2001:db8:c::1:1', 4);
	await daemon.until((samples) => total(samples, 'toascope_clients_folded_total') >= 4n || undefined);
	const again = await run('2001:db8:c::1:100', 4);
	const samples = await metricsAtRest(daemon, listener, 8);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' })).toBe(0n);
	expect(again).toHaveLength(4);
	expectIdentity(samples, listener);
});

describe('a prefix that has used up its share', () => {
	const directory = `/sys/fs/bpf/toascope-per-prefix-${process.pid}`;
	afterEach(() => rmSync(directory, { recursive: true, force: true }));
	const pinned = (clients: string) =>
		[`listeners: {ports: [${port}]}`, `clients: {${clients}}`, `bpf: {pin: ${directory}}`, 'on_exit: keep'].join('\n');
	const max4 = 'per_prefix: {prefix6: 112, max: 4}';
	const beyond = (samples: readonly Sample[]) =>
		total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' });

	it.each([
		['the same settings', max4],
		['another capacity of the table', `${max4}, capacity: 1000`],
	])('still has none left after a restart with %s', async (_what, after) => {
		{
			await using daemon = await Daemon.start({ config: pinned(max4) });
			await run('2001:db8:c::1:1', 4);
			await metricsAtRest(daemon, listener, 4);
		}
		await using daemon = await Daemon.start({ config: pinned(after) });
		// this waits for a collection, which counts the clients of the prefix again
		await run('2001:db8:c::2:1', 1);
		const before = beyond(await metricsAtRest(daemon, listener, 5));
		await run('2001:db8:c::1:100', 4);
		expect(beyond(await metricsAtRest(daemon, listener, 9)) - before).toBe(4n);
		// the prefix has a share again when all of its clients have been folded
		await daemon.reload(pinned(`${after}, idle: 200ms`));
		await daemon.until((samples) => (total(samples, 'toascope_clients_tracked') === 0n ? true : undefined));
		await run('2001:db8:c::1:200', 4);
		expect(beyond(await metricsAtRest(daemon, listener, 13)) - before).toBe(4n);
	});

	it.each([
		['sets the limit', 'per_prefix: off'],
		['changes the length of the prefix', 'per_prefix: {prefix6: 100, max: 4}'],
	])('has none left after a reload that %s', async (_what, before) => {
		await using daemon = await Daemon.start({ config: pinned(before) });
		await run('2001:db8:c::1:1', 4);
		await metricsAtRest(daemon, listener, 4);
		await daemon.reload(pinned(max4));
		await run('2001:db8:c::2:1', 1);
		const limited = beyond(await metricsAtRest(daemon, listener, 5));
		await run('2001:db8:c::1:100', 4);
		expect(beyond(await metricsAtRest(daemon, listener, 9)) - limited).toBe(4n);
	});
});

const address = '2001:db8:c:0:aaaa:bbbb:cccc:dddd';

it.each([
	['prefix6: 128', address],
	['prefix6: 100', '2001:db8:c:0:aaaa:bbbb:c000:0/100'],
	['prefix6: 61', '2001:db8:c::/61'],
	['prefix6: 33', '2001:db8::/33'],
	['prefix6: 1', '::/1'],
])('with %s, set by a reload, a client is counted as %s', async (key, label) => {
	await using daemon = await startDaemon('{prefix6: 96}');
	await run(address, 1);
	await metricsAtRest(daemon, listener, 1);
	await daemon.reload([`listeners: {ports: [${port}]}`, `clients: {${key}}`].join('\n'));
	const results = await run(address, 1, 3);
	const samples = await metricsAtRest(daemon, listener, 4);
	const totals = clientTotals(samples, listener);
	expect(totals.get(label)).toEqual(labTotals(results));
	expect(totals.get('2001:db8:c:0:aaaa:bbbb::/96')).toMatchObject({ opened: 1n, closed: 1n });
	expectIdentity(samples, listener);
});

it('a connection that is open during such a reload is counted for its first prefix until it closes', async () => {
	await using daemon = await startDaemon('{prefix6: 96}');
	const [held] = await client.run({
		from: address,
		to: nat64Server,
		port: listenPort,
		send: 100,
		receive: 300,
		hold: true,
	});
	await daemon.until(
		(samples) => total(samples, 'toascope_client_connections_opened_total', { listener }) || undefined,
	);
	await daemon.reload([`listeners: {ports: [${port}]}`, 'clients: {prefix6: 48}'].join('\n'));
	await client.release();
	const samples = await metricsAtRest(daemon, listener, 1);
	const totals = clientTotals(samples, listener);
	expect(totals.get('2001:db8:c:0:aaaa:bbbb::/96')).toEqual(labTotals(held === undefined ? [] : [held]));
	expect(totals.has('2001:db8:c::/48')).toBe(false);
});
