// SPDX-License-Identifier: Apache-2.0
/** Kernel memory for a tracked client, and for an open connection. */
import type { Daemon } from '../test/fixtures/daemon.ts';
import { total } from '../test/fixtures/metrics.ts';
import { startDaemon, whenClosed, whenTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import { kernelBytes, mapBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const atMostForClient = 300;
const atMostForConnection = 200;
const connectionScales = [
	{ connections: 100_000, repeats: 3 },
	{ connections: 500_000, repeats: 1 },
];
const longest = 120;

/** The server's end is ours: clients are elsewhere. */
const ours = { server: 'with', client: 'without' };
const nobodys = { server: 'without', client: 'without' };

interface Use {
	/** As the kernel accounts for maps. */
	readonly maps: number;
	/** What the whole kernel took more, meanwhile. */
	readonly kernel: number;
}

interface ConnectionUse {
	readonly connections: number;
	readonly slots: number;
	/** In tables, for each slot. */
	readonly table: number;
	/** On its socket. */
	readonly storage: number;
	readonly repeats: readonly number[];
	/** Connections that found their slots taken, of all that were open. */
	readonly in_storage: number;
}

/** As docs/architecture.md has it: twice what is open at a time. The kernel side rounds up to a power of two. */
const slotsFor = (connections: number) => 2 ** Math.ceil(Math.log2(2 * connections));

export async function measureMemory(ground: Ground, plan: Plan): Promise<Part> {
	const clients = plan.quick ? 100_000 : 1_000_000;
	const scales = plan.quick ? [{ connections: 20_000, repeats: 1 }] : connectionScales;
	const before = kernelBytes();
	const least = await mapsOf(ground, 'clients: {capacity: 1, max_exported: 0}\nconnections: {max: 1}');
	plan.say(`memory: ${clients} clients`);
	const client = await ofClients(ground, clients, { maps: least, kernel: before });
	const connections: ConnectionUse[] = [];
	for (const scale of scales) {
		plan.say(`memory: ${scale.connections} open connections`);
		connections.push(await ofConnections(ground, scale.connections, scale.repeats, least));
	}
	return {
		figures: { clients, for_client: client, for_connection: connections },
		rows: [
			row('client', `a tracked client, at ${clients} clients`, client.maps, atMostForClient, [
				`all that the kernel took meanwhile: ${client.kernel.toFixed(0)} B`,
			]),
			...connections.map((use, index) =>
				row(
					index === 0 ? 'connection' : `connection_${use.connections}`,
					`an open connection, at ${use.connections} connections`,
					// what else the kernel gave back meanwhile is none of theirs
					use.table + Math.max(0, use.storage),
					atMostForConnection,
					[
						`in tables ${use.table.toFixed(0)} B for a slot, with its socket ${use.storage.toFixed(0)} B`,
						`all ${use.slots} slots, by those that are open: ${((use.table * use.slots) / use.connections).toFixed(0)} B`,
						`${use.in_storage} were in socket storage`,
					],
				),
			),
		],
	};
}

function row(name: string, what: string, bytes: number, atMost: number, notes: readonly string[]): Row {
	return {
		name: `memory_${name}`,
		what: `kernel memory for ${what}`,
		value: `${bytes.toFixed(0)} B`,
		aim: `at most ${atMost} B`,
		verdict: bytes <= atMost ? 'met' : 'falls short',
		note: notes.join('; '),
	};
}

const pidOf = ({ child }: Daemon) => child.pid ?? Number.NaN;

async function mapsOf(ground: Ground, config: string): Promise<number> {
	await using daemon = await startDaemon(ground, 'with', config);
	return mapBytes(pidOf(daemon));
}

/** A table that is full, against one that has a single place. */
async function ofClients(ground: Ground, clients: number, least: Use): Promise<Use> {
	await using daemon = await startDaemon(
		ground,
		'with',
		`clients: {capacity: ${clients}, max_exported: 0}\nconnections: {max: 1}`,
	);
	{
		await using generator = await Generator.start(ground, clients);
		await generator.run(ours, { seconds: longest, connections: clients });
	}
	await whenClosed(ground, daemon, clients);
	await whenTracked(ground, daemon, clients);
	return {
		maps: (mapBytes(pidOf(daemon)) - least.maps) / clients,
		kernel: (kernelBytes() - least.kernel) / clients,
	};
}

/** Connections that toascope sees, against connections that it does not see; and the slots in its tables. */
async function ofConnections(
	ground: Ground,
	connections: number,
	repeats: number,
	least: number,
): Promise<ConnectionUse> {
	const slots = slotsFor(connections);
	const config = `clients: {capacity: 1, max_exported: 0}\nconnections: {max: ${slots}}`;
	await using daemon = await startDaemon(ground, 'with', config);
	const table = (mapBytes(pidOf(daemon)) - least) / slots;
	await using holding = await Holding.start(ground, 1000);
	const level = async (places: typeof ours) => {
		await holding.hold(places, connections);
		const bytes = kernelBytes();
		await holding.drop();
		return bytes;
	};
	// what the kernel allocates for the first ones, and then keeps
	await level(nobodys);
	await level(ours);
	const found: number[] = [];
	for (let repeat = 0; repeat < repeats; repeat++) {
		const without = await level(nobodys);
		found.push(((await level(ours)) - without) / connections);
	}
	const samples = await whenClosed(ground, daemon, connections * (repeats + 1));
	const inStorage = Number(total(samples, 'toascope_drops_total', { reason: 'connections_full' }));
	return { connections, slots, table, storage: median(found), repeats: found, in_storage: inStorage };
}
