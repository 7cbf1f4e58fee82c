// SPDX-License-Identifier: Apache-2.0
/** Kernel memory for a tracked client, and for an open connection. */
import type { Daemon } from '../test/fixtures/daemon.ts';
import { startDaemon, whenClosed, whenTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import { kernelBytes, mapBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const atMostForClient = 300;
const atMostForConnection = 450;
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
	readonly place: number;
	readonly storage: number;
	readonly repeats: readonly number[];
}

export async function measureMemory(ground: Ground, plan: Plan): Promise<Part> {
	const clients = plan.quick ? 100_000 : 1_000_000;
	const connections = plan.quick ? 20_000 : 100_000;
	const repeats = plan.quick ? 1 : 3;
	const before = kernelBytes();
	const least = await mapsOf(ground, 'clients: {capacity: 1, max_exported: 0}\nconnections: {max: 1}');
	plan.say(`memory: ${clients} clients`);
	const client = await ofClients(ground, clients, { maps: least, kernel: before });
	plan.say(`memory: ${connections} open connections`);
	const connection = await ofConnections(ground, connections, repeats, least);
	return {
		figures: { clients, connections, for_client: client, for_connection: connection },
		rows: [
			row('client', `a tracked client, at ${clients} clients`, client.maps, atMostForClient, [
				`all that the kernel took meanwhile: ${client.kernel.toFixed(0)} B`,
			]),
			row(
				'connection',
				`an open connection, at ${connections} connections`,
				connection.place + connection.storage,
				atMostForConnection,
				[`with its socket ${connection.storage.toFixed(0)} B, in tables ${connection.place.toFixed(0)} B`],
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

/** Connections that toascope sees, against connections that it does not see; and the places in its tables. */
async function ofConnections(
	ground: Ground,
	connections: number,
	repeats: number,
	least: number,
): Promise<ConnectionUse> {
	const config = `clients: {capacity: 1, max_exported: 0}\nconnections: {max: ${connections}}`;
	await using daemon = await startDaemon(ground, 'with', config);
	const place = (mapBytes(pidOf(daemon)) - least) / connections;
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
	await whenClosed(ground, daemon, connections * (repeats + 1));
	return { place, storage: median(found), repeats: found };
}
