// SPDX-License-Identifier: Apache-2.0
/**
 * The byte counters count payload, each byte once: while a connection is open, whichever end closes
 * first, after a reset, and when its addresses are used again.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import {
	clientTotals,
	expectIdentity,
	labTotals,
	labTotalsByClient,
	listenerTotals,
	metricsAtRest,
	type TrafficTotals,
} from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { type End, Scripted } from '../kit/wire/scripted.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const echoPort = port + 1;
const listener = `${network.server}:${port}`;
const echoListener = `${network.server}:${echoPort}`;
const [gatewayPort, gatewayEchoPort] = [10_001, 10_002];

let lab: Lab;
let near: Scripted;
let far: Scripted;
let daemon: Daemon;

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' },
			{ listenPort: gatewayEchoPort, backendPort: echoPort, profile: 'nat64' },
		],
	});
	[near, far] = await Promise.all([Scripted.start(lab, 'client'), Scripted.start(lab, 'server', port)]);
	await lab.echoServer({ port: echoPort });
	daemon = await Daemon.start({
		config: `listeners: {ports: [${port}-${echoPort}]}\ntrust: [${network.pool}]\nclients: {max_exported: 2500, per_prefix: off}`,
	});
});

afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

let clients = 0;

/** Opens a connection from a new client. Resolves with both ends, and the client's name. */
async function connect(): Promise<{ client: End; server: End; name: string }> {
	const name = `2001:db8:c:0:ff::${(++clients).toString(16)}`;
	const [client, server] = await Promise.all([
		near.connect({ from: name, to: nat64Server, port: gatewayPort }),
		far.accepted(),
	]);
	return { client, server, name };
}

async function lookUp(server: End): Promise<readonly ConnectionJson[]> {
	const query = new URLSearchParams({
		peer: `${server.peer}:${server.peerPort}`,
		netns: String(lab.netnsInode('server')),
	});
	return (await daemon.json<{ connections: ConnectionJson[] }>(`/v1/connections?${query}`)).connections;
}

/** Waits until a client's series has these values. Fails at once if it exceeds them. */
async function until(name: string, expected: TrafficTotals): Promise<Sample[]> {
	return daemon.until((samples) => {
		const now = clientTotals(samples, listener).get(name);
		if (now === undefined) return undefined;
		for (const field of ['opened', 'closed', 'received', 'sent'] as const) {
			expect(now[field], `${field} of ${name}`).toBeLessThanOrEqual(expected[field]);
		}
		const equal = (['opened', 'closed', 'received', 'sent'] as const).every((field) => now[field] === expected[field]);
		return equal ? samples : undefined;
	});
}

/** Resolves with the metrics after one more collection. */
async function collected(): Promise<Sample[]> {
	return metricsAtRest(daemon, listener, 0);
}

describe('the end that closes first', () => {
	it('the client', async () => {
		const { client, server, name } = await connect();
		client.send(1000);
		await server.received(1000);
		server.send(500);
		await client.received(500);
		client.end();
		await server.ended();
		server.end();
		expect(await server.closed()).toBe(1000);
		expect(await client.closed()).toBe(500);
		expectIdentity(await until(name, { opened: 1n, closed: 1n, received: 1000n, sent: 500n }), listener);
		expect(await lookUp(server)).toMatchObject([
			{ state: 'closed', received_bytes: '1000', sent_bytes: '500', error: null },
		]);
	});

	it('the server', async () => {
		const { client, server, name } = await connect();
		client.send(1000);
		await server.received(1000);
		server.send(500);
		server.end();
		await client.ended();
		client.end();
		expect(await server.closed()).toBe(1000);
		expect(await client.closed()).toBe(500);
		expectIdentity(await until(name, { opened: 1n, closed: 1n, received: 1000n, sent: 500n }), listener);
		expect(await lookUp(server)).toMatchObject([{ error: null }]);
	});

	it('both at once', async () => {
		const { client, server, name } = await connect();
		client.send(1000);
		await server.received(1000);
		client.end();
		server.end();
		expect(await server.closed()).toBe(1000);
		await client.closed();
		await until(name, { opened: 1n, closed: 1n, received: 1000n, sent: 0n });
	});

	it('the client, which has sent nothing', async () => {
		const { client, server, name } = await connect();
		client.end();
		await server.ended();
		server.end();
		await Promise.all([client.closed(), server.closed()]);
		await until(name, { opened: 1n, closed: 1n, received: 0n, sent: 0n });
	});
});

describe('a reset', () => {
	it('by the client', async () => {
		const { client, server, name } = await connect();
		client.send(1000);
		await server.received(1000);
		server.send(500);
		await client.received(500);
		// this segment also acknowledges the 500 bytes
		client.send(10);
		await server.received(1010);
		client.reset();
		expect(await server.closed()).toBe(1010);
		await until(name, { opened: 1n, closed: 1n, received: 1010n, sent: 500n });
		expect(await lookUp(server)).toMatchObject([{ error: 'ECONNRESET' }]);
	});

	it('by the server', async () => {
		const { client, server, name } = await connect();
		client.send(1000);
		await server.received(1000);
		server.reset();
		await client.closed();
		await until(name, { opened: 1n, closed: 1n, received: 1000n, sent: 0n });
		expect(await lookUp(server)).toMatchObject([{ error: 'ECONNABORTED' }]);
	});

	it('by a client that has sent nothing: the option was on the ACK', async () => {
		const { client, server, name } = await connect();
		client.reset();
		await server.closed();
		await until(name, { opened: 1n, closed: 1n, received: 0n, sent: 0n });
	});
});

describe('open connections', () => {
	it('have their bytes counted while they are open, and not a second time when they close', async () => {
		const client = await lab.client();
		const batch = { from: '2001:db8:c:0:aa::1', clients: 60, count: 120, to: nat64Server, port: gatewayEchoPort };
		const results = await client.run({ ...batch, send: 5001, receive: 70_001, hold: true });
		const open = labTotals(results, false);
		const samples = await daemon.until((now) => {
			const { received, sent } = listenerTotals(now, echoListener);
			return received >= open.received && sent >= open.sent ? now : undefined;
		});
		expect(listenerTotals(samples, echoListener)).toEqual(open);
		const steady = await collected();
		const clientsNow = clientTotals(steady, echoListener);
		for (const [name, totals] of labTotalsByClient(results, false)) expect(clientsNow.get(name)).toEqual(totals);
		expect(total(steady, 'toascope_client_connections_active', { listener: echoListener })).toBe(120n);
		expectIdentity(steady, echoListener);

		await client.release();
		const closed = await metricsAtRest(daemon, echoListener, results.length);
		expect(listenerTotals(closed, echoListener)).toEqual(labTotals(results));
		const clientsThen = clientTotals(closed, echoListener);
		for (const [name, totals] of labTotalsByClient(results)) expect(clientsThen.get(name)).toEqual(totals);
		expect(total(closed, 'toascope_client_connections_active', { listener: echoListener })).toBe(0n);
		expectIdentity(closed, echoListener);
	});

	it('half closed, are counted without the FIN', async () => {
		const [byClient, byServer] = [await connect(), await connect()];
		byClient.client.send(1000);
		await byClient.server.received(1000);
		byClient.client.end();
		await byClient.server.ended();
		byServer.client.send(10);
		await byServer.server.received(10);
		byServer.server.send(700);
		byServer.server.end();
		await byServer.client.ended();

		await until(byClient.name, { opened: 1n, closed: 0n, received: 1000n, sent: 0n });
		await until(byServer.name, { opened: 1n, closed: 0n, received: 10n, sent: 700n });
		// the other direction is still open
		byClient.server.send(300);
		await byClient.client.received(300);
		byServer.client.send(20);
		await byServer.server.received(30);
		await until(byClient.name, { opened: 1n, closed: 0n, received: 1000n, sent: 300n });
		await until(byServer.name, { opened: 1n, closed: 0n, received: 30n, sent: 700n });
		expect(await lookUp(byClient.server)).toMatchObject([{ state: 'open', received_bytes: '1000', sent_bytes: '300' }]);

		byClient.server.end();
		byServer.client.end();
		await Promise.all([byClient, byServer].flatMap(({ client, server }) => [client.closed(), server.closed()]));
		await until(byClient.name, { opened: 1n, closed: 1n, received: 1000n, sent: 300n });
		await until(byServer.name, { opened: 1n, closed: 1n, received: 30n, sent: 700n });
		expectIdentity(await collected(), listener);
	});
});

describe('the same addresses and ports again', () => {
	it('are another connection, with its own client', async () => {
		await using narrow = await Lab.open({
			routes: [{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' }],
		});
		// one port for each of the gateway's addresses, so that they are used again after that many
		// connections
		const range = narrow.spawn('gateway', 'sh', ['-c', 'echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range']);
		await new Promise((resolve) => range.once('exit', resolve));
		const [from, to] = await Promise.all([Scripted.start(narrow, 'client'), Scripted.start(narrow, 'server', port)]);
		const byPeer = new Map<string, string[]>();
		for (let i = 1; i <= 40; i++) {
			const name = `2001:db8:c:0:bb::${i.toString(16)}`;
			const [client, server] = await Promise.all([
				from.connect({ from: name, to: nat64Server, port: gatewayPort }),
				to.accepted(),
			]);
			client.send(i);
			await server.received(i);
			// the server closes first, so that it has the TIME_WAIT socket and accepts the
			// addresses again
			server.end();
			await client.ended();
			client.end();
			await Promise.all([client.closed(), server.closed()]);
			const peer = `${server.peer}:${server.peerPort}`;
			byPeer.set(peer, [`${name} ${client.port} ${i}`, ...(byPeer.get(peer) ?? [])]);
		}
		expect(byPeer.size).toBe(16);
		for (const [peer, truth] of byPeer) {
			const query = `peer=${peer}&netns=${narrow.netnsInode('server')}`;
			const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(`/v1/connections?${query}`);
			const shown = connections.map(
				({ client, received_bytes }) => `${client?.address} ${client?.port} ${received_bytes}`,
			);
			expect(shown, peer).toEqual(truth);
			for (const { opened_at } of connections) {
				const at = `/v1/connections?${query}&at=${opened_at}`;
				const then = await daemon.json<{ connections: ConnectionJson[] }>(at);
				expect(then.connections.map((one) => one.opened_at)).toEqual([opened_at]);
			}
		}
		const samples = await collected();
		const shown = clientTotals(samples, listener);
		for (let i = 1; i <= 40; i++) {
			const totals = { opened: 1n, closed: 1n, received: BigInt(i), sent: 0n };
			expect(shown.get(`2001:db8:c:0:bb::${i.toString(16)}`)).toEqual(totals);
		}
		expectIdentity(samples, listener);
	});
});
