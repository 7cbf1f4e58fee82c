// SPDX-License-Identifier: Apache-2.0
/**
 * Slots of connections and of listeners are reused: what the daemon reports about a connection
 * stays its own.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { EchoRecord } from '../../daemon/lab/protocol.ts';
import type { ConnectionEvent } from '../../daemon/model/connection.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { lookUp } from '../kit/daemon/lookup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const ports = [port, port + 1] as const;
const listenPorts = [10_000, 10_001] as const;
const pin = `/sys/fs/bpf/toascope-slot-reuse-${process.pid}`;

/** What the servers have received, and for each peer's port the server that it reached last. */
const echoed: EchoRecord[] = [];
const echoedAt = new Map<number, number>();

let lab: Lab;
beforeAll(async () => {
	const route = (index: 0 | 1) =>
		({ listenPort: listenPorts[index], backendPort: ports[index], profile: 'nat64' }) as const;
	lab = await Lab.open({ routes: [route(0), route(1)] });
	for (const one of ports) {
		const onRecords = (records: readonly EchoRecord[]) => {
			echoed.push(...records);
			for (const { peerPort } of records) echoedAt.set(peerPort, one);
		};
		await lab.echoServer({ port: one, onRecords });
	}
});
afterAll(async () => {
	await lab?.close();
	rmSync(pin, { recursive: true, force: true });
});

async function connect(index: 0 | 1, count: number): Promise<void> {
	const client = await lab.client();
	const to = { to: nat64Server, port: listenPorts[index] };
	const results = await client.run({ from: clientAddress, clients: 8, count, ...to, send: 10, receive: 10 });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
}

it('where all connections share one slot, each record has the endpoints of its own connection, and none is dropped', async () => {
	const settings = { listeners: { ports }, connections: { max: 1 }, bpf: { pin: 'off' } };
	const log = { info() {}, warn() {}, error() {} };
	const provider = BpfProvider.open(toConfig(fileSchema.parse(settings), {}), bpfReader, log);
	const events: ConnectionEvent[] = [];
	const drain = () =>
		void provider.drain(
			(event) => events.push(event),
			() => {},
		);
	try {
		provider.enableEvents({ every: ['opened', 'closed'] });
		const count = 3000;
		const work = Promise.all([connect(0, count), connect(1, count)]);
		await expect
			.poll(
				() => {
					drain();
					return events.filter(({ type }) => type === 'closed').length;
				},
				{ timeout: scaleTimeout(60_000), interval: 20 },
			)
			.toBe(2 * count);
		await work;
		const opened = new Map(
			events.filter(({ type }) => type === 'opened').map(({ connection }) => [connection.cookie, connection]),
		);
		expect(opened.size).toBe(2 * count);
		for (const { type, connection } of events) {
			if (type !== 'closed') continue;
			const { local, peer } = opened.get(connection.cookie) ?? {};
			expect({ local: connection.local, peer: connection.peer }).toEqual({ local, peer });
		}
		expect(provider.counters.drops()).toMatchObject({ ring_full: 0n });
	} finally {
		provider.close(false);
	}
});

it('a lookup finds a connection with its own endpoint when its listener was folded and another one has its slot', async () => {
	const config = [
		`listeners: {ports: [${ports}], max: 1}`,
		'clients: {idle: 200 ms}',
		'connections: {retain: 1 h}',
		`bpf: {pin: ${pin}}`,
	].join('\n');
	await using daemon = await Daemon.start({ config });
	const before = echoed.length;
	await connect(0, 1);
	const closed = (to: number, of: number) =>
		daemon.until((samples) => {
			const listener = `${network.server}:${to}`;
			return total(samples, 'toascope_connections_closed_total', { listener }) >= BigInt(of) || undefined;
		});
	await closed(ports[0], 1);
	await daemon.until((samples) => total(samples, 'toascope_listeners_folded_total') >= 1n || undefined);
	await connect(1, 1);
	await closed(ports[1], 1);
	await expect.poll(() => echoed.length - before).toBe(2);
	for (const { peer, peerPort } of echoed.slice(before)) {
		const [found] = await lookUp(daemon, `${peer}:${peerPort}`);
		expect(found?.local).toEqual({ address: network.server, port: echoedAt.get(peerPort) });
	}
});
