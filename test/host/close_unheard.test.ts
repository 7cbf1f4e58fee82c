// SPDX-License-Identifier: Apache-2.0
/** Another's sockops program replaces the callback flags of sockets: nobody tells of their close, and yet it is counted, once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientKeyLayout, limit, listenerKeyLayout, sweepRequestLayout } from '../../daemon/capture/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ListenerRecord } from '../../daemon/model/source.ts';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { BarePrograms } from '../fixtures/bare_programs.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { ForeignSockops } from '../fixtures/foreign.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { clientAddress, somePorts } from '../fixtures/stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const cgroup = findCgroup2(readMounts()) ?? '';
/** Of a connection: where the option is, and so whether it is seen without callbacks. */
const routes = { ack: 10_000, data: 10_001, none: 10_002 };
const sent = 100;

let lab: Lab;
let client: LabClient;

beforeAll(async () => {
	const to = { backendPort: port };
	lab = await Lab.open({
		routes: [
			{ ...to, listenPort: routes.ack, profile: 'nat64' },
			{ ...to, listenPort: routes.data, profile: 'nat64', segments: ['data'] },
			{ ...to, listenPort: routes.none, profile: 'none' },
		],
	});
	await lab.echoServer({ port });
	client = await lab.client();
});
afterAll(() => lab?.close());

/** Connections of so many clients, which send and close; with `hold` at the release. */
async function connect(route: keyof typeof routes, clients: number, hold = false): Promise<void> {
	const batch = {
		from: clientAddress,
		clients,
		to: nat64Server,
		port: routes[route],
		send: sent,
		receive: hold ? 1 : 0,
	};
	const results = await client.run({ ...batch, hold });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
}

/** The programs, on the lab's server port. */
const bare = (keys: Record<string, object> = {}) =>
	new BarePrograms(listener, { listeners: { ports: [port] }, ...keys });

const verdicts = (toa: bigint, none: bigint) => ({ toa, none, malformed: 0n, untrusted: 0n, conflict: 0n });

describe('connections whose close nobody hears', () => {
	it('are closed once, for the listener and for whom they count, and give their places back', async () => {
		// the second client finds the table full, and in the end a connection its place only where one was given back
		using programs = bare({ clients: { capacity: 1 }, connections: { max: 64 } });
		const rounds = 12;
		const unheard = 6 * rounds;
		expect(programs.bpf.mapInfo('connections').maxEntries).toBeLessThan(unheard);
		{
			await using _foreign = await ForeignSockops.deafen(cgroup, port);
			for (let round = 1; round <= rounds; round++) {
				for (const route of ['ack', 'data', 'none'] as const) await connect(route, 2);
				await programs.closed(6 * round);
			}
		}
		expect(programs.handshakes).toEqual(verdicts(BigInt(2 * rounds), BigInt(4 * rounds)));
		for (let looks = 0; looks < 3; looks++) await programs.look();
		expect(programs.total).toMatchObject({ opened: BigInt(unheard), closed: BigInt(unheard) });
		expect(programs.parts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({ close_unheard: BigInt(unheard), connections_full: 0n });

		await connect('ack', 6);
		await programs.closed(unheard + 6, () => programs.collect());
		expect(programs.parts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({
			close_unheard: BigInt(unheard),
			connections_full: 0n,
		});
	});

	it.each([1, 6, 64, 65_536])('are closed by the second look that finds them gone; of a table for %i', async (max) => {
		using programs = bare({ connections: { max } });
		await connect('ack', 1, true);
		await programs.look();
		const lost = programs.lose();
		const closed: (bigint | undefined)[] = [];
		for (let looks = 0; looks < 3; looks++) {
			await programs.look();
			closed.push(programs.total?.closed);
		}
		await client.release();
		expect({ lost, closed }).toEqual({ lost: 1, closed: [0n, 1n, 1n] });
	});

	it('count as open while they are, with all that a flush has seen', async () => {
		using programs = bare();
		await using _foreign = await ForeignSockops.deafen(cgroup, port);
		for (const route of ['ack', 'data'] as const) await connect(route, 2, true);
		for (let looks = 0; looks < 4; looks++) await programs.look();
		expect(programs.total).toMatchObject({ opened: 4n, closed: 0n, receivedBytes: BigInt(4 * sent), sentBytes: 4n });
		expect(programs.counters.drops()).toMatchObject({ close_unheard: 0n });
		await client.release();
		await programs.closed(4);
		expect(programs.total).toMatchObject({ opened: 4n, receivedBytes: BigInt(4 * sent), sentBytes: 4n });
		expect(programs.parts).toEqual(programs.total);
	});

	it('and those of listeners that found no place', async () => {
		using programs = bare({ listeners: { ports: [port, ...Object.values(routes)], max: 1 } });
		await using _foreign = await ForeignSockops.deafen(cgroup, port);
		// the gateway's own listener is the first to come
		await connect('ack', 2);
		const other = () => programs.counters.readListeners().find(({ endpoint }) => endpoint === undefined)?.total;
		await expect
			.poll(
				async () => {
					await programs.look();
					return other()?.closed;
				},
				{ timeout: patient(20_000) },
			)
			.toBe(2n);
		expect(other()?.opened).toBe(2n);
	});
});

it('a close that is heard after all is not counted again', async () => {
	using programs = bare();
	await connect('ack', 2, true);
	await connect('none', 1, true);
	await programs.look();
	expect(programs.lose()).toBe(3);
	for (const closed of [0n, 3n]) {
		await programs.look();
		expect(programs.total?.closed).toBe(closed);
	}
	await client.release();
	// this one is heard, and comes last
	await connect('none', 1);
	await programs.closed(4, () => programs.collect());
	for (let looks = 0; looks < 3; looks++) await programs.look();
	expect(programs.total).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.parts).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.handshakes).toEqual(verdicts(2n, 2n));
	expect(programs.counters.drops()).toMatchObject({ close_unheard: 3n });
});

it('a callback of a socket that has left its connection does not close that connection', async () => {
	using programs = bare();
	await connect('ack', 5, true);
	await programs.look();
	// as where the socket was disconnected, and connected to another host
	expect(programs.lose()).toBe(5);
	await client.release();
	await connect('none', 1);
	await programs.closed(6);
	expect(programs.total).toMatchObject({ opened: 6n, closed: 6n });
	expect(programs.counters.drops()).toMatchObject({ close_unheard: 5n });
});

it('every run is taken: none looks like a protocol that the kernel would look into', () => {
	using programs = bare();
	const request = Buffer.alloc(sweepRequestLayout.size);
	const largest = 2 ** 22;
	for (const open of [0, 1]) {
		request.writeUInt32LE(open, sweepRequestLayout.open);
		for (let first = 0; first < largest; first += limit.SLOTS_A_RUN) {
			request.writeUInt32LE(first, sweepRequestLayout.first);
			if (programs.bpf.run('toascope_sweep', request) !== 0) expect.fail(`a sweep from slot ${first} on`);
		}
	}
	const record = (key: string): Pick<ListenerRecord, 'key' | 'slot'> => ({ key, slot: 1 });
	const clientKey = Buffer.alloc(clientKeyLayout.size);
	for (let word = 0; word <= 0xffff; word++) {
		const address = Buffer.alloc(listenerKeyLayout.size);
		for (let at = 0; at < 16; at += 2) address.writeUInt16BE(word, at);
		clientKey.set(address);
		expect(programs.counters.foldListener(record(address.toString('latin1')) as ListenerRecord)).toBe(true);
		programs.counters.recount(clientKey.toString('latin1'));
	}
});

it('the daemon does so by itself', async () => {
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	await using _foreign = await ForeignSockops.deafen(cgroup, port);
	await connect('ack', 3);
	await connect('none', 2);
	const open = listenerAccount(await daemon.metrics(), listener);
	expect(open.closed).toBe(0n);
	const samples = await settled(daemon, listener, 5);
	expect(listenerAccount(samples, listener)).toMatchObject({ opened: 5n, closed: 5n });
	expectIdentity(samples, listener);
	expect(total(samples, 'toascope_drops_total', { reason: 'close_unheard' })).toBe(5n);
});
