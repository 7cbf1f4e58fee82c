// SPDX-License-Identifier: Apache-2.0
/** Another's sockops program replaces the callback flags of sockets: nobody tells of their close, and yet it is counted, once. */
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Counters } from '../../daemon/capture/counters.ts';
import { Flusher } from '../../daemon/capture/flusher.ts';
import { KernelSettings } from '../../daemon/capture/kernel_settings.ts';
import { listenerKeyLayout, reapRequestLayout } from '../../daemon/capture/layout.gen.ts';
import { load } from '../../daemon/capture/load.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import { type BpfObject, native } from '../../daemon/capture/native.ts';
import { Reaper } from '../../daemon/capture/reaper.ts';
import { type Config, toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { formatEndpoint } from '../../daemon/model/address.ts';
import { trafficFields } from '../../daemon/model/traffic.ts';
import { expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
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

/** The programs and their maps, without a daemon that would flush and reap by itself. */
class Programs implements Disposable {
	readonly bpf: BpfObject;
	readonly counters: Counters;
	readonly reaper: Reaper;
	readonly #flusher: Flusher;

	constructor(keys: Record<string, object> = {}) {
		const config: Config = toConfig(fileSchema.parse({ listeners: { ports: [port] }, ...keys }), {});
		const probed = native().probe();
		this.bpf = load({ config, probed, reader: 'bpf' });
		this.counters = new Counters(
			this.bpf,
			() => undefined,
			() => ({}),
		);
		this.reaper = new Reaper(this.bpf);
		this.#flusher = new Flusher(this.bpf, probed.features, this.reaper, console);
		new KernelSettings(this.bpf).apply(config, 0, 0n);
		// "other"
		this.bpf.update('listener_places', Buffer.alloc(listenerKeyLayout.size), Buffer.alloc(4));
		const { program } = this.#flusher;
		this.bpf.attach(program, program === 'toascope_flush' ? { map: 'sockets' } : {});
		this.bpf.attach('toascope_sockops', { cgroup });
	}

	/** What the daemon does every few seconds. */
	async look(): Promise<void> {
		await this.#flusher.flush(() => turn());
		await this.reaper.reap(() => turn());
	}

	#listener() {
		return this.counters
			.readListeners()
			.find(({ endpoint }) => endpoint !== undefined && formatEndpoint(endpoint) === listener);
	}

	get total() {
		return this.#listener()?.total;
	}

	get handshakes() {
		return this.#listener()?.handshakes;
	}

	/** All that counts beside the listener: direct, other, and each client. */
	get parts() {
		const found = this.#listener();
		const sum: Partial<Record<(typeof trafficFields)[number], bigint>> = {};
		const clients = [...this.counters.readClients()].flatMap((page) =>
			Array.from({ length: page.length }, (_, index) => page.traffic(index)),
		);
		for (const part of [found?.direct, found?.overflow, ...clients]) {
			for (const field of trafficFields) sum[field] = (sum[field] ?? 0n) + (part?.[field] ?? 0n);
		}
		return sum;
	}

	/** Looks until so many have closed. */
	async closed(count: number): Promise<void> {
		await expect
			.poll(
				async () => {
					await this.look();
					return this.total?.closed;
				},
				{ timeout: patient(20_000) },
			)
			.toBe(BigInt(count));
	}

	[Symbol.dispose](): void {
		this.bpf.close();
	}
}

const verdicts = (toa: bigint, none: bigint) => ({ toa, none, malformed: 0n, untrusted: 0n, conflict: 0n });

describe('connections whose close nobody hears', () => {
	it('are closed once, for the listener and for whom they count, and give their places back', async () => {
		// the second client finds the table full, and a connection its place only where one was given back
		using programs = new Programs({ clients: { capacity: 1 }, connections: { max: 6 } });
		{
			await using _foreign = await ForeignSockops.deafen(cgroup, port);
			for (const route of ['ack', 'data', 'none'] as const) await connect(route, 2);
			await programs.closed(6);
		}
		expect(programs.handshakes).toEqual(verdicts(2n, 4n));
		for (let looks = 0; looks < 3; looks++) await programs.look();
		expect(programs.total).toMatchObject({ opened: 6n, closed: 6n });
		expect(programs.parts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({ close_unheard: 6n, connections_full: 0n });

		await connect('ack', 6);
		await expect.poll(() => programs.total?.closed, { timeout: patient(20_000) }).toBe(12n);
		expect(programs.parts).toEqual(programs.total);
		expect(programs.counters.drops()).toMatchObject({ close_unheard: 6n, connections_full: 0n, connection_slot: 0n });
	});

	it('count as open while they are, with all that a flush has seen', async () => {
		using programs = new Programs();
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
		using programs = new Programs({ listeners: { ports: [port, ...Object.values(routes)], max: 1 } });
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
	using programs = new Programs();
	await connect('ack', 2, true);
	await connect('none', 1, true);
	// as if an iterator had missed them
	const request = Buffer.alloc(reapRequestLayout.size);
	request.writeBigUInt64LE(native().monotonicNs() + 10_000_000_000n, reapRequestLayout.flushedNs);
	for (const run of [1, 2]) {
		request.writeUInt32LE(run, reapRequestLayout.run);
		programs.bpf.run('toascope_reap', request, 3);
		expect(programs.total?.closed).toBe(run === 1 ? 0n : 3n);
	}
	await client.release();
	// this one is heard, and comes last
	await connect('none', 1);
	await expect.poll(() => programs.total?.closed, { timeout: patient(20_000) }).toBe(4n);
	for (let looks = 0; looks < 3; looks++) await programs.look();
	expect(programs.total).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.parts).toMatchObject({ opened: 4n, closed: 4n });
	expect(programs.handshakes).toEqual(verdicts(2n, 2n));
	expect(programs.counters.drops()).toMatchObject({ close_unheard: 3n });
});

it('every run is taken: none looks like a protocol that the kernel would look into', () => {
	using programs = new Programs();
	const request = Buffer.alloc(reapRequestLayout.size);
	for (let run = 1; run <= 255; run++) {
		request.writeUInt32LE(run, reapRequestLayout.run);
		expect(programs.bpf.run('toascope_reap', request, 1)).toBe(0);
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
