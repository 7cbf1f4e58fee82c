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
import { probed, storageModes } from '../kit/kernel/storage_modes.ts';
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
const silentLog = { info() {}, warn() {}, error() {} };
const quiet = () => yieldLoop();

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

interface RunOptions {
	readonly scenario: Scenario;
	/** A sweep reads open connections. */
	readonly readsOpen: boolean;
	/** Returns a random whole number below its argument. */
	readonly pick: (below: number) => number;
	/** The client whose connections pass the gateway with an option. */
	readonly passing: LabClient;
	/** The client that connects without an option. */
	readonly direct: LabClient;
	/** Clients that hold connections open. */
	readonly holding: readonly LabClient[];
	readonly start: () => BpfProvider;
}

/** A daemon's provider and store, and what the lab knows of their connections. */
class Run {
	readonly #options: RunOptions;
	/** Each client has a slot. */
	readonly #isRoomy: boolean;
	readonly #results: ConnectionResult[] = [];
	/** The connections that each client holds open. */
	readonly #open = new Map<LabClient, ConnectionResult[]>();
	readonly #underWay = new Set<Promise<void>>();
	#provider: BpfProvider;
	#store: Store;
	#last: Snapshot | undefined;
	/** Resolves when the flushes so far have completed. */
	#flushed: Promise<unknown> = Promise.resolve();

	constructor(options: RunOptions) {
		this.#options = options;
		this.#isRoomy = options.scenario.capacity > options.scenario.addresses;
		this.#provider = options.start();
		this.#store = new Store(this.#provider.counters, options.scenario);
	}

	/** The clients that have been folded so far. */
	get clientsFolded(): bigint {
		return this.#last?.clientsFolded ?? 0n;
	}

	/** Opens connections of `clients` clients, one each. */
	async connect(clients: number): Promise<void> {
		await this.#run(this.#options.passing, { ...this.#load(), clients, count: clients });
	}

	/** Does one thing at random, and does not wait until it has ended. */
	step(): void {
		const { pick, holding, passing, direct } = this.#options;
		const holder = holding[pick(holding.length)] as LabClient;
		switch (pick(8)) {
			case 0:
				this.#flushed = Promise.all([this.#flushed, this.#provider.flush(quiet)]);
				break;
			case 1:
			case 2:
				this.#hold(holder);
				break;
			case 3:
				if ((this.#open.get(holder) ?? []).length === 0) break;
				this.#open.delete(holder);
				this.#begin(holder.release());
				break;
			case 4:
				this.#begin(this.#run(direct, { count: 1 + pick(100), to: network.server, port }));
				break;
			default:
				this.#begin(this.#run(passing, this.#load()));
		}
	}

	/**
	 * Retires a random client, with or without open connections: the programs must handle both.
	 */
	async retireOne(): Promise<void> {
		const { counters } = this.#provider;
		const keys: string[] = [];
		for (const page of counters.readClients()) {
			for (let index = 0; index < page.length; index++) keys.push(page.key(index));
		}
		if (keys.length > 0) counters.retire(keys[this.#options.pick(keys.length)] as string);
		await counters.synchronize();
	}

	async collect(between: Yield = quiet): Promise<Snapshot | undefined> {
		const snapshot = await this.#store.collect(between).catch((error: unknown) => {
			expect(error).toBe(aborted);
			return undefined;
		});
		if (snapshot === undefined) return undefined;
		if (this.#last !== undefined) expectMonotonic(this.#last, snapshot);
		expect([...snapshot.clients].filter(({ active }) => active < 0)).toEqual([]);
		expect(labels(snapshot).length).toBeLessThanOrEqual(this.#options.scenario.maxExported);
		this.#last = snapshot;
		return snapshot;
	}

	/** Collects with other work between two pages; sometimes that aborts the collection. */
	async collectAndWork(): Promise<void> {
		const { pick, passing } = this.#options;
		await this.collect(async () => {
			this.step();
			await yieldLoop();
			// clients that are not registered yet, also on pages that the collection has already
			// read
			if (this.#isRoomy) await this.#run(passing, this.#load());
			if (pick(10) === 0) throw aborted;
		});
	}

	/** Replaces the daemon by the next one, without an orderly stop. */
	async kill(): Promise<void> {
		await this.#flushed;
		this.#provider.close(true);
		this.#provider = this.#options.start();
		expect(this.#provider.adopted).toBe(true);
		this.#store = new Store(this.#provider.counters, this.#options.scenario);
	}

	/** Waits until everything has ended, and expects every sum to be exact. */
	async atRest(): Promise<Snapshot> {
		while (this.#underWay.size > 0) await Promise.all([...this.#underWay]);
		const results = this.#results;
		const stillOpen = new Set([...this.#open.values()].flat());
		const closed = BigInt(results.length - stillOpen.size);
		const countedClosed = async () => {
			await this.#provider.counters.sweep(quiet);
			return this.#record()?.total.closed ?? 0n;
		};
		await expect.poll(countedClosed, { timeout: scaleTimeout(20_000), interval: 5 }).toBe(closed);
		// the second flush counts what the first has seen
		await this.#flushed;
		await this.#provider.flush(quiet);
		await this.#provider.flush(quiet);
		const snapshot = (await this.collect()) as Snapshot;
		expectIdentity(snapshot);
		expectGauges(snapshot);
		this.#expectOpen(stillOpen.size);
		if (this.#isRoomy) this.#expectWhole(snapshot);
		const read = this.#options.readsOpen ? results : results.filter((one) => !stillOpen.has(one));
		const sum = (of: (result: ConnectionResult) => number) => read.reduce((all, one) => all + BigInt(of(one)), 0n);
		expect(snapshot.listeners.find((one) => one.listener === listener)?.total ?? noTraffic).toMatchObject({
			opened: BigInt(results.length),
			closed,
			receivedBytes: sum(({ sent }) => sent),
			sentBytes: sum(({ received }) => received),
		});
		return snapshot;
	}

	close(): void {
		this.#provider.close(false);
	}

	/** Opens connections that stay open, unless the client already has some. */
	#hold(holder: LabClient): void {
		if (this.#open.has(holder)) return;
		this.#open.set(holder, []);
		const batch = { ...this.#load(), count: 1 + this.#options.pick(8), hold: true };
		this.#begin(this.#run(holder, batch).then((made) => this.#open.set(holder, made)));
	}

	async #run(client: LabClient, batch: Partial<Batch>): Promise<ConnectionResult[]> {
		const made = await client.run({ to: nat64Server, port: nat64Port, ...batch });
		expect(made.filter(({ error }) => error !== undefined)).toEqual([]);
		this.#results.push(...made);
		return made;
	}

	#begin(work: Promise<unknown>): void {
		const one: Promise<void> = work.then(() => void this.#underWay.delete(one));
		this.#underWay.add(one);
	}

	#load(): Partial<Batch> {
		const { pick, scenario } = this.#options;
		return {
			from: `2001:db8:c::${(1 + pick(scenario.addresses)).toString(16)}`,
			clients: 1 + pick(this.#isRoomy ? 200 : 4),
			count: 1 + pick(200),
			send: 24 + pick(3000),
			receive: pick(3000),
		};
	}

	#record() {
		return this.#provider.counters.readListeners().find(({ endpoint }) => endpoint?.port === port);
	}

	/**
	 * Expects that folded clients had no open connections, and that each open connection counts
	 * where it was opened.
	 */
	#expectOpen(held: number): void {
		const openOf = (...some: readonly Traffic[]) => some.reduce((sum, one) => sum + one.opened - one.closed, 0n);
		const { direct, overflow, folded, unexported } = this.#record() ?? emptyRecord;
		expect(openOf(folded, unexported), 'open, but folded').toBe(0n);
		expect(openOf(direct), 'open, but direct').toBe(0n);
		const inTable: bigint[] = [];
		for (const page of this.#provider.counters.readClients()) {
			for (let index = 0; index < page.length; index++) inTable.push(page.open(index));
		}
		expect(Math.min(0, ...inTable.map(Number)), 'more closed than opened').toBe(0);
		expect(inTable.reduce((sum, one) => sum + one, openOf(overflow))).toBe(BigInt(held));
	}

	/**
	 * With a slot for every client, expects `other` to have only what could not be counted for a
	 * client.
	 */
	#expectWhole(snapshot: Snapshot): void {
		const { overflow, unexported } = this.#record() ?? emptyRecord;
		const other = [...snapshot.clients].find((one) => one.client === 'other' && one.listener === listener);
		expect(other?.traffic ?? noTraffic, 'other').toEqual(overflow);
		expect(unexported, 'without a series').toEqual(noTraffic);
		const bases = [...this.#provider.counters.readExported().values()].map(({ base }) => base);
		expect(bases.filter(({ opened, receivedBytes }) => opened + receivedBytes > 0n)).toEqual([]);
	}
}

const runs = storageModes.flatMap((one) => scenarios.map((each) => ({ ...one, ...each, seed: randomInt(2 ** 31) })));

it.each(runs)(
	'$storage, $scenario: every sum is exact and no counter decreases (seed $seed)',
	{ timeout: scaleTimeout(120_000) },
	async ({ storage, features, readsOpen, seed, ...scenario }) => {
		const pick = random(seed);
		const isRoomy = scenario.capacity > scenario.addresses;
		await using lab = await Lab.open({ routes: [{ listenPort: nat64Port, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		const [passing, direct, ...holding] = await Promise.all([
			lab.client(),
			lab.client('gateway'),
			...Array.from({ length: 4 }, () => lab.client()),
		]);
		const pins = `toascope-property-${process.pid}-${`${storage} ${scenario.scenario}`.replaceAll(' ', '-')}`;
		const config = toConfig(
			fileSchema.parse({
				listeners: { ports: [port] },
				trust: [network.pool],
				clients: { capacity: scenario.capacity, max_exported: scenario.maxExported },
				bpf: { pin: `/sys/fs/bpf/${pins}` },
			}),
			{},
		);
		const start = () => {
			const provider = BpfProvider.open(config, bpfReader, silentLog, { ...probed, features });
			refuse(provider.counters, pick);
			return provider;
		};

		const run = new Run({ scenario, readsOpen, pick, passing, direct, holding, start });
		try {
			if (scenario.before > 0) await run.connect(scenario.before);
			for (let round = 0; round < (isRoomy ? rounds.roomy : rounds.few); round++) {
				for (let steps = 1 + pick(5); steps > 0; steps--) {
					run.step();
					if (pick(isRoomy ? 8 : 2) === 0) await run.retireOne();
				}
				for (let collections = pick(4); collections > 0; collections--) await run.collectAndWork();
				if (pick(3) === 0) await run.kill();
				if (pick(3) === 0) await run.atRest();
			}
			// it is possible that no client has been folded so far
			for (let tries = 0; tries < 100 && run.clientsFolded === 0n; tries++) {
				await run.retireOne();
				await run.collect();
			}
			const { clientsFolded, drops } = await run.atRest();
			expect(clientsFolded).toBeGreaterThan(0n);
			expect(drops).toMatchObject({ socket_storage: 0n, listeners_full: 0n, close_unheard: 0n });
		} finally {
			run.close();
		}
	},
);
