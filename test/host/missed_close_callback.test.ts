// SPDX-License-Identifier: Apache-2.0
/**
 * Another sockops program replaces the callback flags of sockets, so that no callback reports their
 * close. It is still counted, once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
	clientKeyLayout,
	constant,
	listenerKeyLayout,
	sweepRequestLayout,
} from '../../daemon/capture/records/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ListenerRecord } from '../../daemon/model/source.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { BarePrograms } from '../kit/kernel/bare_programs.ts';
import { ForeignSockops } from '../kit/kernel/other_programs.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const cgroup = findCgroup2(readMounts()) ?? '';
/**
 * The port of each kind of connection. They differ in the segment with the option, and so in
 * whether it is seen without callbacks.
 */
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

/**
 * Makes connections of this many clients, which send data and close; with `hold`, they close at the
 * release.
 */
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

/** The programs, watching the lab's server port. */
const bare = (keys: Record<string, object> = {}) =>
	new BarePrograms(listener, { listeners: { ports: [port] }, ...keys });

const verdicts = (toa: bigint, none: bigint) => ({ toa, none, malformed: 0n, untrusted: 0n, conflict: 0n });

describe('connections whose close no callback reports', () => {
	it('are closed once, for the listener and for their client, and free their slots', async () => {
		// the second client finds the client table full; the last connections get slots only if
		// those of earlier ones were freed
		using programs = bare({ clients: { capacity: 1 }, connections: { max: 64 } });
		const rounds = 12;
		const missed = 6 * rounds;
		expect(programs.bpf.map('connections').maxEntries).toBeLessThan(missed);
		{
			await using _foreign = await ForeignSockops.clearFlags(cgroup, port);
			for (let round = 1; round <= rounds; round++) {
				for (const route of ['ack', 'data', 'none'] as const) await connect(route, 2);
				await programs.closed(6 * round);
			}
		}
		expect(programs.handshakes).toEqual(verdicts(BigInt(2 * rounds), BigInt(4 * rounds)));
		for (let sweeps = 0; sweeps < 3; sweeps++) await programs.sweepOpen();
		expect(programs.total).toMatchObject({ opened: BigInt(missed), closed: BigInt(missed) });
		expect(programs.sumOfParts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({ close_unheard: BigInt(missed), connections_full: 0n });

		await connect('ack', 6);
		await programs.closed(missed + 6, () => programs.collect());
		expect(programs.sumOfParts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({
			close_unheard: BigInt(missed),
			connections_full: 0n,
		});
	});

	it.each([1, 6, 64, 65_536])('are closed by the second sweep that finds them gone, in a table for %i', async (max) => {
		using programs = bare({ connections: { max } });
		await connect('ack', 1, true);
		await programs.sweepOpen();
		const cleared = programs.clearSockets();
		const closed: (bigint | undefined)[] = [];
		for (let sweeps = 0; sweeps < 3; sweeps++) {
			await programs.sweepOpen();
			closed.push(programs.total?.closed);
		}
		await client.release();
		expect({ cleared, closed }).toEqual({ cleared: 1, closed: [0n, 1n, 1n] });
	});

	it('count as open while they are open, with everything that a sweep has read', async () => {
		using programs = bare();
		await using _foreign = await ForeignSockops.clearFlags(cgroup, port);
		for (const route of ['ack', 'data'] as const) await connect(route, 2, true);
		for (let sweeps = 0; sweeps < 4; sweeps++) await programs.sweepOpen();
		expect(programs.total).toMatchObject({ opened: 4n, closed: 0n, receivedBytes: BigInt(4 * sent), sentBytes: 4n });
		expect(programs.counters.drops()).toMatchObject({ close_unheard: 0n });
		await client.release();
		await programs.closed(4);
		expect(programs.total).toMatchObject({ opened: 4n, receivedBytes: BigInt(4 * sent), sentBytes: 4n });
		expect(programs.sumOfParts).toEqual(programs.total);
	});

	it('are closed for listeners that found no slot as well', async () => {
		using programs = bare({ listeners: { ports: [port, ...Object.values(routes)], max: 1 } });
		await using _foreign = await ForeignSockops.clearFlags(cgroup, port);
		// the gateway's own listener comes first
		await connect('ack', 2);
		const other = () => programs.counters.readListeners().find(({ endpoint }) => endpoint === undefined)?.total;
		await expect
			.poll(
				async () => {
					await programs.sweepOpen();
					return other()?.closed;
				},
				{ timeout: scaleTimeout(20_000) },
			)
			.toBe(2n);
		expect(other()?.opened).toBe(2n);
	});
});

it('a close that a callback reports after all is not counted again', async () => {
	using programs = bare();
	await connect('ack', 2, true);
	await connect('none', 1, true);
	await programs.sweepOpen();
	expect(programs.clearSockets()).toBe(3);
	for (const closed of [0n, 3n]) {
		await programs.sweepOpen();
		expect(programs.total?.closed).toBe(closed);
	}
	await client.release();
	// a callback reports the close of this one, which comes last
	await connect('none', 1);
	await programs.closed(4, () => programs.collect());
	for (let sweeps = 0; sweeps < 3; sweeps++) await programs.sweepOpen();
	expect(programs.total).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.sumOfParts).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.handshakes).toEqual(verdicts(2n, 2n));
	expect(programs.counters.drops()).toMatchObject({ close_unheard: 3n });
});

it('a callback for a socket that no longer belongs to a connection does not close that connection', async () => {
	using programs = bare();
	await connect('ack', 5, true);
	await programs.sweepOpen();
	// as if the sockets had been disconnected, and connected to another host
	expect(programs.clearSockets()).toBe(5);
	await client.release();
	await connect('none', 1);
	await programs.closed(6);
	expect(programs.total).toMatchObject({ opened: 6n, closed: 6n });
	expect(programs.counters.drops()).toMatchObject({ close_unheard: 5n });
});

it('every run is accepted: no request resembles a protocol whose headers the kernel would check', () => {
	using programs = bare();
	const request = Buffer.alloc(sweepRequestLayout.size);
	const largest = 2 ** 22;
	for (const open of [0, 1]) {
		request.writeUInt32LE(open, sweepRequestLayout.open);
		for (let first = 0; first < largest; first += constant.SLOTS_PER_RUN) {
			request.writeUInt32LE(first, sweepRequestLayout.first);
			if (programs.bpf.run('toascope_sweep', request) !== 0) expect.fail(`the sweep from slot ${first} on was refused`);
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

it('the daemon counts such a close by itself', async () => {
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	await using _foreign = await ForeignSockops.clearFlags(cgroup, port);
	await connect('ack', 3);
	await connect('none', 2);
	const open = listenerTotals(await daemon.metrics(), listener);
	expect(open.closed).toBe(0n);
	const samples = await metricsAtRest(daemon, listener, 5);
	expect(listenerTotals(samples, listener)).toMatchObject({ opened: 5n, closed: 5n });
	expectIdentity(samples, listener);
	expect(total(samples, 'toascope_drops_total', { reason: 'close_unheard' })).toBe(5n);
});
