// SPDX-License-Identifier: Apache-2.0
/** A network with many addresses: it has its share of the table of clients, and is counted as one client beyond it. */
import { rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Result } from '../../daemon/lab/protocol.ts';
import { clientAccounts, expectIdentity, labAccount, labAccounts, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';

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

async function run(from: string, clients: number, count = clients): Promise<Result[]> {
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

it('counts the clients beyond the share as their network, and each other client as itself', async () => {
	await using daemon = await startDaemon('{per_prefix: {prefix6: 112, max: 8}}');
	const share = await run('2001:db8:c::1:1', 8);
	await settled(daemon, listener, 8);
	const beyond = await run('2001:db8:c::1:100', 300, 900);
	const others = [...(await run('2001:db8:c::2:1', 8)), ...(await run('2001:db8:c::1:1', 8))];
	const samples = await settled(daemon, listener, 924);
	const accounts = clientAccounts(samples, listener);
	for (const name of ['direct', 'other']) accounts.delete(name);
	expect(accounts).toEqual(
		new Map([...labAccounts([...share, ...others]), ['2001:db8:c::1:0/112', labAccount(beyond)]]),
	);
	expectIdentity(samples, listener);
	expect(total(samples, 'toascope_clients_tracked')).toBe(17n);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_full' })).toBe(0n);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' })).toBe(900n);
});

it('leaves room in the table for others: thousands of addresses of one network', async () => {
	await using daemon = await startDaemon('{capacity: 512, per_prefix: {prefix6: 112}}');
	await run('2001:db8:c::1:1', 3000);
	await settled(daemon, listener, 3000);
	const others = await run('2001:db8:c::2:1', 100);
	const samples = await settled(daemon, listener, 3100);
	const accounts = clientAccounts(samples, listener);
	for (const [address, account] of labAccounts(others)) expect(accounts.get(address)).toEqual(account);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_full' })).toBe(0n);
	expectIdentity(samples, listener);
});

it('has its share again when its clients have left the table', async () => {
	await using daemon = await startDaemon('{per_prefix: {prefix6: 112, max: 4}, idle: 200ms}');
	await run('2001:db8:c::1:1', 4);
	await daemon.until((samples) => total(samples, 'toascope_clients_folded_total') >= 4n || undefined);
	const again = await run('2001:db8:c::1:100', 4);
	const samples = await settled(daemon, listener, 8);
	expect(total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' })).toBe(0n);
	expect(again).toHaveLength(4);
	expectIdentity(samples, listener);
});

describe('a prefix that has its share', () => {
	const directory = `/sys/fs/bpf/toascope-per-prefix-${process.pid}`;
	afterEach(() => rmSync(directory, { recursive: true, force: true }));
	const pinned = (clients: string) =>
		[`listeners: {ports: [${port}]}`, `clients: {${clients}}`, `bpf: {pin: ${directory}}`, 'on_exit: keep'].join('\n');
	const max4 = 'per_prefix: {prefix6: 112, max: 4}';
	const beyond = (samples: readonly Sample[]) =>
		total(samples, 'toascope_drops_total', { reason: 'clients_per_prefix' });

	it.each([
		['the same', max4],
		['another capacity of the table', `${max4}, capacity: 1000`],
	])('has none left after a restart with %s', async (_what, after) => {
		{
			await using daemon = await Daemon.start({ config: pinned(max4) });
			await run('2001:db8:c::1:1', 4);
			await settled(daemon, listener, 4);
		}
		await using daemon = await Daemon.start({ config: pinned(after) });
		// a collection has counted the clients anew
		await run('2001:db8:c::2:1', 1);
		const before = beyond(await settled(daemon, listener, 5));
		await run('2001:db8:c::1:100', 4);
		expect(beyond(await settled(daemon, listener, 9)) - before).toBe(4n);
		// and a share again when all of them have left
		await daemon.reload(pinned(`${after}, idle: 200ms`));
		await daemon.until((samples) => (total(samples, 'toascope_clients_tracked') === 0n ? true : undefined));
		await run('2001:db8:c::1:200', 4);
		expect(beyond(await settled(daemon, listener, 13)) - before).toBe(4n);
	});

	it.each([
		['from when it is limited', 'per_prefix: off'],
		['of another length', 'per_prefix: {prefix6: 100, max: 4}'],
	])('%s, by a reload', async (_what, before) => {
		await using daemon = await Daemon.start({ config: pinned(before) });
		await run('2001:db8:c::1:1', 4);
		await settled(daemon, listener, 4);
		await daemon.reload(pinned(max4));
		await run('2001:db8:c::2:1', 1);
		const limited = beyond(await settled(daemon, listener, 5));
		await run('2001:db8:c::1:100', 4);
		expect(beyond(await settled(daemon, listener, 9)) - limited).toBe(4n);
	});
});

const address = '2001:db8:c:0:aaaa:bbbb:cccc:dddd';

it.each([
	['prefix6: 128', address],
	['prefix6: 100', '2001:db8:c:0:aaaa:bbbb:c000:0/100'],
	['prefix6: 61', '2001:db8:c::/61'],
	['prefix6: 33', '2001:db8::/33'],
	['prefix6: 1', '::/1'],
])('a client by %s, changed while the daemon runs: %s', async (key, label) => {
	await using daemon = await startDaemon('{prefix6: 96}');
	await run(address, 1);
	await settled(daemon, listener, 1);
	await daemon.reload([`listeners: {ports: [${port}]}`, `clients: {${key}}`].join('\n'));
	const results = await run(address, 1, 3);
	const samples = await settled(daemon, listener, 4);
	const accounts = clientAccounts(samples, listener);
	expect(accounts.get(label)).toEqual(labAccount(results));
	expect(accounts.get('2001:db8:c:0:aaaa:bbbb::/96')).toMatchObject({ opened: 1n, closed: 1n });
	expectIdentity(samples, listener);
});

it('a connection that is open over such a change is counted to its end where it began', async () => {
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
	const samples = await settled(daemon, listener, 1);
	const accounts = clientAccounts(samples, listener);
	expect(accounts.get('2001:db8:c:0:aaaa:bbbb::/96')).toEqual(labAccount(held === undefined ? [] : [held]));
	expect(accounts.has('2001:db8:c::/48')).toBe(false);
});
