// SPDX-License-Identifier: Apache-2.0
/**
 * The real programs and the real store against what the lab knows of its connections: opened, flushed, closed, looked at,
 * retired, folded and adopted by another daemon in any order, and all at once. With connections in socket storage as well.
 */
import { randomInt } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Counters } from '../../daemon/capture/counters.ts';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Batch, Result } from '../../daemon/lab/protocol.ts';
import type { Snapshot, Traffic } from '../../daemon/model/snapshot.ts';
import { type NextTurn, Store } from '../../daemon/model/store.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { patient } from '../fixtures/patience.ts';
import { random } from '../fixtures/random.ts';
import { expectGauges, expectIdentity, expectMonotonic, labels } from '../fixtures/snapshots.ts';
import { somePorts } from '../fixtures/stage.ts';
import { probed, ways } from '../fixtures/ways.ts';

const rounds = { few: 25, roomy: 10 };

interface World {
	readonly world: string;
	readonly addresses: number;
	readonly capacity: number;
	readonly maxExported: number;
	readonly idleMs: number;
	/** Clients that are there before the first look. */
	readonly before: number;
}

const worlds: readonly World[] = [
	// fewer places than clients: some find no room in the kernel's table, and most no series; every look retires somebody
	{ world: 'few places', addresses: 24, capacity: 16, maxExported: 6, idleMs: 1, before: 0 },
	// and more clients than a page of the table holds, so that some come while it is read
	{
		world: 'a place for everybody',
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
const givenUp = new Error('given up');
const emptyRecord = { direct: noTraffic, overflow: noTraffic, folded: noTraffic, unshown: noTraffic };
/** Every second time, as where the kernel refuses to take the entry of a series that has ended out (EBUSY). */
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

const quietly = { info() {}, warn() {}, error() {} };

const runs = ways.flatMap((one) => worlds.map((world) => ({ ...one, ...world, seed: randomInt(2 ** 31) })));

it.each(runs)(
	'$way, $world: every sum is exact and nothing falls (seed $seed)',
	{ timeout: patient(120_000) },
	async ({ way, features, readsOpen, seed, world, addresses, capacity, maxExported, idleMs, before }) => {
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
				bpf: { pin: `/sys/fs/bpf/toascope-property-${process.pid}-${`${way} ${world}`.replaceAll(' ', '-')}` },
			}),
			{},
		);
		const start = () => {
			const provider = Programs.open(config, bpfReader, quietly, { ...probed, features });
			refuse(provider.counters, pick);
			return provider;
		};
		const limits = { maxExported, idleMs };

		let provider = start();
		try {
			let store = new Store(provider.counters, limits);
			let last: Snapshot | undefined;
			const results: Result[] = [];
			/** Who holds connections open. */
			const open = new Map<LabClient, Result[]>();
			const underWay = new Set<Promise<void>>();
			/** The flushes so far. */
			let flushed: Promise<unknown> = Promise.resolve();

			const run = async (client: LabClient, batch: Partial<Batch>): Promise<Result[]> => {
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
						flushed = Promise.all([flushed, provider.flush(() => turn())]);
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
			/** Whoever it is, with open connections or without: the programs must know. */
			const retireSomebody = async () => {
				const keys: string[] = [];
				for (const page of provider.counters.readClients()) {
					for (let index = 0; index < page.length; index++) keys.push(page.key(index));
				}
				if (keys.length > 0) provider.counters.retire(keys[pick(keys.length)] as string);
				await provider.counters.runsOver();
			};
			const quiet = () => turn();
			/** What others do between two pages; now and then the look is given up there. */
			const busy = async () => {
				step();
				await turn();
				// some that nobody has met yet: also where the look has been already
				if (roomy) await run(passing as LabClient, load());
				if (pick(10) === 0) throw givenUp;
			};
			const look = async (nextTurn: NextTurn): Promise<Snapshot | undefined> => {
				const snapshot = await store.look(nextTurn).catch((error: unknown) => {
					expect(error).toBe(givenUp);
					return undefined;
				});
				if (snapshot === undefined) return undefined;
				if (last !== undefined) expectMonotonic(last, snapshot);
				expect([...snapshot.clients].filter(({ active }) => active < 0)).toEqual([]);
				expect(labels(snapshot).length).toBeLessThanOrEqual(maxExported);
				last = snapshot;
				return snapshot;
			};
			/** A daemon that is gone without a word, and the next one. */
			const kill = async () => {
				await flushed;
				provider.close(true);
				provider = start();
				expect(provider.adopted).toBe(true);
				store = new Store(provider.counters, limits);
			};
			const record = () => provider.counters.readListeners().find(({ endpoint }) => endpoint?.port === port);
			/** Who has left the table was not open, and whoever is open counts where it opened. */
			const expectOpen = (held: number) => {
				const openOf = (...some: readonly Traffic[]) => some.reduce((sum, one) => sum + one.opened - one.closed, 0n);
				const { direct, overflow, folded, unshown } = record() ?? emptyRecord;
				expect(openOf(folded, unshown), 'open, and folded').toBe(0n);
				expect(openOf(direct), 'open, and direct').toBe(0n);
				const inTable: bigint[] = [];
				for (const page of provider.counters.readClients()) {
					for (let index = 0; index < page.length; index++) inTable.push(page.open(index));
				}
				expect(Math.min(0, ...inTable.map(Number)), 'more closed than opened').toBe(0);
				expect(inTable.reduce((sum, one) => sum + one, openOf(overflow))).toBe(BigInt(held));
			};

			/** There has always been a place for everybody: `other` has what could not be counted for a client, and no more. */
			const expectWhole = (snapshot: Snapshot) => {
				const { overflow, unshown } = record() ?? emptyRecord;
				const other = [...snapshot.clients].find((one) => one.client === 'other' && one.listener === listener);
				expect(other?.traffic ?? noTraffic, 'other').toEqual(overflow);
				expect(unshown, 'without a series').toEqual(noTraffic);
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
				await expect.poll(countedClosed, { timeout: patient(20_000), interval: 5 }).toBe(closed);
				// the second one counts what the first saw
				await flushed;
				await provider.flush(quiet);
				await provider.flush(quiet);
				const snapshot = (await look(quiet)) as Snapshot;
				expectIdentity(snapshot);
				expectGauges(snapshot);
				expectOpen(held);
				if (roomy) expectWhole(snapshot);
				const read = readsOpen ? results : results.filter((one) => !stillOpen.has(one));
				const sum = (of: (result: Result) => number) => read.reduce((all, one) => all + BigInt(of(one)), 0n);
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
					if (pick(roomy ? 8 : 2) === 0) await retireSomebody();
				}
				for (let looks = pick(4); looks > 0; looks--) await look(busy);
				if (pick(3) === 0) await kill();
				if (pick(3) === 0) await atRest();
			}
			// chance may have left that out
			for (let tries = 0; tries < 100 && (last?.clientsFolded ?? 0n) === 0n; tries++) {
				await retireSomebody();
				await look(quiet);
			}
			const { clientsFolded, drops } = await atRest();
			expect(clientsFolded).toBeGreaterThan(0n);
			expect(drops).toMatchObject({ socket_storage: 0n, listeners_full: 0n, close_unheard: 0n });
		} finally {
			provider.close(false);
		}
	},
);
