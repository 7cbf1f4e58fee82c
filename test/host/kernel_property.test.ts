// SPDX-License-Identifier: Apache-2.0
/**
 * Compares the real programs and the real store with what the lab knows of its connections: they
 * are opened, flushed, closed, collected, retired, folded and adopted by another daemon in any
 * order, and all at once. Connections are kept in the table or in socket storage.
 */
import { randomInt } from 'node:crypto';
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import type { Counters } from '../../daemon/capture/maps/counters.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import type { Yield } from '../../daemon/event_loop.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Batch, ConnectionResult } from '../../daemon/lab/protocol.ts';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { Store } from '../../daemon/model/store.ts';
import type { Traffic } from '../../daemon/model/traffic.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { lockingModes, probed } from '../kit/kernel/locking_modes.ts';
import { expectGauges, expectIdentity, expectMonotonic, labels } from '../kit/model/snapshots.ts';
import { random } from '../kit/random.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const rounds = { few: 25, roomy: 10 };

interface Scenario {
	readonly scenario: string;
	readonly addresses: number;
	readonly capacity: number;
	readonly maxExported: number;
	readonly idleMs: number;
	/** Clients that connect before the first collection. */
	readonly before: number;
}

const scenarios: readonly Scenario[] = [
	// fewer slots than clients: some find the kernel's table full, most get no series, and every
	// collection retires a client
	{ scenario: 'few slots', addresses: 24, capacity: 16, maxExported: 6, idleMs: 1, before: 0 },
	// more clients than a page of the table holds, so that some come while it is read
	{
		scenario: 'a slot for every client',
		addresses: 4000,
		capacity: 8192,
		maxExported: 8192,
		idleMs: 3_600_000,
		before: 2000,
	},
];
const port = somePorts(1);
const nat64Port = 10_001;
const listener = `${network.server}:${port}`;
const aborted = new Error('aborted');
const emptyRecord = { direct: noTraffic, overflow: noTraffic, folded: noTraffic, unexported: noTraffic };
/**
 * Lets about every second removal of the entry of a series that has ended fail, as if the kernel
 * had refused it (EBUSY).
 */
function refuse(counters: Counters, pick: (below: number) => number): void {
	const fold = counters.fold.bind(counters);
	counters.fold = (key, exported) => {
		const result = fold(key, exported);
		if (result !== 'folded' || exported === undefined || pick(2) === 0) return result;
		counters.admit([{ key, exported: { ...exported, sinceNs: 0n } }]);
		return 'left';
	};
	const drop = counters.dropExported.bind(counters);
	counters.dropExported = (key) => pick(2) === 0 && drop(key);
}

const silentLog = { info() {}, warn() {}, error() {} };

const runs = lockingModes.flatMap((one) => scenarios.map((each) => ({ ...one, ...each, seed: randomInt(2 ** 31) })));

it.each(runs)(
	'$way, $scenario: every sum is exact and no counter decreases (seed $seed)',
	{ timeout: scaleTimeout(120_000) },
	async ({ way, features, readsOpen, seed, scenario, addresses, capacity, maxExported, idleMs, before }) => {
		const pick = random(seed);
		const roomy = capacity > addresses;
		await using lab = await Lab.open({ routes: [{ listenPort: nat64Port, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		const [passing, direct, ...holding] = await Promise.all([
			lab.client(),
			lab.client('gateway'),
			...Array.from({ length: 4 }, () => lab.client()),
		]);
		const config = toConfig(
			fileSchema.parse({
				listeners: { ports: [port] },
				trust: [network.pool],
				clients: { capacity, max_exported: maxExported },
				bpf: { pin: `/sys/fs/bpf/toascope-property-${process.pid}-${`${way} ${scenario}`.replaceAll(' ', '-')}` },
			}),
			{},
		);
		const start = () => {
			const provider = BpfProvider.open(config, bpfReader, silentLog, { ...probed, features });
			refuse(provider.counters, pick);
			return provider;
		};
		const limits = { maxExported, idleMs };

		let provider = start();
		try {
			let store = new Store(provider.counters, limits);
			let last: Snapshot | undefined;
			const results: ConnectionResult[] = [];
			/** The connections that each client holds open. */
			const open = new Map<LabClient, ConnectionResult[]>();
			const underWay = new Set<Promise<void>>();
			/** Resolves when the flushes so far have completed. */
			let flushed: Promise<unknown> = Promise.resolve();

			const run = async (client: LabClient, batch: Partial<Batch>): Promise<ConnectionResult[]> => {
				const made = await client.run({ to: nat64Server, port: nat64Port, ...batch });
				expect(made.filter(({ error }) => error !== undefined)).toEqual([]);
				results.push(...made);
				return made;
			};
			const begin = (work: Promise<unknown>) => {
				const one: Promise<void> = work.then(() => void underWay.delete(one));
				underWay.add(one);
			};
			const load = (): Partial<Batch> => ({
				from: `2001:db8:c::${(1 + pick(addresses)).toString(16)}`,
				clients: 1 + pick(roomy ? 200 : 4),
				count: 1 + pick(200),
				send: 24 + pick(3000),
				receive: pick(3000),
			});
			const step = () => {
				const holder = holding[pick(holding.length)] as LabClient;
				switch (pick(8)) {
					case 0:
						flushed = Promise.all([flushed, provider.flush(() => yieldLoop())]);
						break;
					case 1:
					case 2:
						if (open.has(holder)) break;
						open.set(holder, []);
						begin(run(holder, { ...load(), count: 1 + pick(8), hold: true }).then((made) => open.set(holder, made)));
						break;
					case 3:
						if ((open.get(holder) ?? []).length === 0) break;
						open.delete(holder);
						begin(holder.release());
						break;
					case 4:
						begin(run(direct as LabClient, { count: 1 + pick(100), to: network.server, port }));
						break;
					default:
						begin(run(passing as LabClient, load()));
				}
			};
			/**
			 * Retires a random client, with or without open connections: the programs must handle
			 * both.
			 */
			const retireOne = async () => {
				const keys: string[] = [];
				for (const page of provider.counters.readClients()) {
					for (let index = 0; index < page.length; index++) keys.push(page.key(index));
				}
				if (keys.length > 0) provider.counters.retire(keys[pick(keys.length)] as string);
				await provider.counters.synchronize();
			};
			const quiet = () => yieldLoop();
			/**
			 * Runs between two pages of a collection: other work, and sometimes an abort of the
			 * collection.
			 */
			const busy = async () => {
				step();
				await yieldLoop();
				// clients that are not registered yet, also on pages that the collection has
				// already read
				if (roomy) await run(passing as LabClient, load());
				if (pick(10) === 0) throw aborted;
			};
			const collect = async (between: Yield): Promise<Snapshot | undefined> => {
				const snapshot = await store.collect(between).catch((error: unknown) => {
					expect(error).toBe(aborted);
					return undefined;
				});
				if (snapshot === undefined) return undefined;
				if (last !== undefined) expectMonotonic(last, snapshot);
				expect([...snapshot.clients].filter(({ active }) => active < 0)).toEqual([]);
				expect(labels(snapshot).length).toBeLessThanOrEqual(maxExported);
				last = snapshot;
				return snapshot;
			};
			/** Replaces the daemon by the next one, without an orderly stop. */
			const kill = async () => {
				await flushed;
				provider.close(true);
				provider = start();
				expect(provider.adopted).toBe(true);
				store = new Store(provider.counters, limits);
			};
			const record = () => provider.counters.readListeners().find(({ endpoint }) => endpoint?.port === port);
			/**
			 * Expects that folded clients had no open connections, and that each open connection
			 * counts where it was opened.
			 */
			const expectOpen = (held: number) => {
				const openOf = (...some: readonly Traffic[]) => some.reduce((sum, one) => sum + one.opened - one.closed, 0n);
				const { direct, overflow, folded, unexported } = record() ?? emptyRecord;
				expect(openOf(folded, unexported), 'open, but folded').toBe(0n);
				expect(openOf(direct), 'open, but direct').toBe(0n);
				const inTable: bigint[] = [];
				for (const page of provider.counters.readClients()) {
					for (let index = 0; index < page.length; index++) inTable.push(page.open(index));
				}
				expect(Math.min(0, ...inTable.map(Number)), 'more closed than opened').toBe(0);
				expect(inTable.reduce((sum, one) => sum + one, openOf(overflow))).toBe(BigInt(held));
			};

			/**
			 * With a slot for every client, expects `other` to have only what could not be counted
			 * for a client.
			 */
			const expectWhole = (snapshot: Snapshot) => {
				const { overflow, unexported } = record() ?? emptyRecord;
				const other = [...snapshot.clients].find((one) => one.client === 'other' && one.listener === listener);
				expect(other?.traffic ?? noTraffic, 'other').toEqual(overflow);
				expect(unexported, 'without a series').toEqual(noTraffic);
				const bases = [...provider.counters.readExported().values()].map(({ base }) => base);
				expect(bases.filter(({ opened, receivedBytes }) => opened + receivedBytes > 0n)).toEqual([]);
			};

			const atRest = async () => {
				while (underWay.size > 0) await Promise.all([...underWay]);
				const stillOpen = new Set([...open.values()].flat());
				const held = stillOpen.size;
				const closed = BigInt(results.length - held);
				const countedClosed = async () => {
					await provider.counters.sweep(quiet);
					return record()?.total.closed ?? 0n;
				};
				await expect.poll(countedClosed, { timeout: scaleTimeout(20_000), interval: 5 }).toBe(closed);
				// the second flush counts what the first has seen
				await flushed;
				await provider.flush(quiet);
				await provider.flush(quiet);
				const snapshot = (await collect(quiet)) as Snapshot;
				expectIdentity(snapshot);
				expectGauges(snapshot);
				expectOpen(held);
				if (roomy) expectWhole(snapshot);
				const read = readsOpen ? results : results.filter((one) => !stillOpen.has(one));
				const sum = (of: (result: ConnectionResult) => number) => read.reduce((all, one) => all + BigInt(of(one)), 0n);
				expect(snapshot.listeners.find((one) => one.listener === listener)?.total ?? noTraffic).toMatchObject({
					opened: BigInt(results.length),
					closed,
					receivedBytes: sum(({ sent }) => sent),
					sentBytes: sum(({ received }) => received),
				});
				return snapshot;
			};

			if (before > 0) await run(passing as LabClient, { ...load(), clients: before, count: before });
			for (let round = 0; round < (roomy ? rounds.roomy : rounds.few); round++) {
				for (let steps = 1 + pick(5); steps > 0; steps--) {
					step();
					if (pick(roomy ? 8 : 2) === 0) await retireOne();
				}
				for (let collections = pick(4); collections > 0; collections--) await collect(busy);
				if (pick(3) === 0) await kill();
				if (pick(3) === 0) await atRest();
			}
			// it is possible that no client has been folded so far
			for (let tries = 0; tries < 100 && (last?.clientsFolded ?? 0n) === 0n; tries++) {
				await retireOne();
				await collect(quiet);
			}
			const { clientsFolded, drops } = await atRest();
			expect(clientsFolded).toBeGreaterThan(0n);
			expect(drops).toMatchObject({ socket_storage: 0n, listeners_full: 0n, close_unheard: 0n });
		} finally {
			provider.close(false);
		}
	},
);
