// SPDX-License-Identifier: Apache-2.0
/** Measures the kernel memory of a tracked client and of an open connection. */
import type { Daemon } from '../test/kit/daemon/daemon.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { startDaemon, untilClosed, untilTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import { Holding } from './holding.ts';
import { kernelBytes, mapBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const atMostForClient = 300;
const atMostForConnection = 200;
const connectionScales = [
	{ connections: 100_000, repeats: 3 },
	{ connections: 500_000, repeats: 1 },
];
const longest = 120;

/** toascope sees only the server's end, as on a host whose clients are elsewhere. */
const observed = { server: 'with', client: 'without' };
const unobserved = { server: 'without', client: 'without' };

interface Use {
	/** Bytes that the kernel accounts to the daemon's maps. */
	readonly maps: number;
	/** Bytes by which the memory of the whole kernel grew meanwhile. */
	readonly kernel: number;
}

interface ConnectionUse {
	readonly connections: number;
	readonly slots: number;
	/** Bytes in tables, per slot. */
	readonly table: number;
	/** Bytes outside the tables, per connection. */
	readonly storage: number;
	readonly repeats: readonly number[];
	/** Connections whose slots were all in use, out of all that were opened. */
	readonly in_storage: number;
}

/**
 * Twice the number of open connections, as docs/notes/one-table.md recommends. The kernel side
 * rounds up to a power of two.
 */
const slotsFor = (connections: number) => 2 ** Math.ceil(Math.log2(2 * connections));

export async function measureMemory(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const clients = plan.quick ? 100_000 : 1_000_000;
	const scales = plan.quick ? [{ connections: 20_000, repeats: 1 }] : connectionScales;
	const before = kernelBytes();
	const least = await mapsOf(sandbox, 'clients: {capacity: 1, max_exported: 0}\nconnections: {max: 1}');
	plan.say(`memory: ${clients} clients`);
	const client = await measureClients(sandbox, clients, { maps: least, kernel: before });
	const connections: ConnectionUse[] = [];
	for (const scale of scales) {
		plan.say(`memory: ${scale.connections} open connections`);
		connections.push(await measureConnections(sandbox, scale.connections, scale.repeats, least));
	}
	return {
		figures: { clients, for_client: client, for_connection: connections },
		rows: [
			row('client', `a tracked client, at ${clients} clients`, client.maps, atMostForClient, [
				`growth of the whole kernel meanwhile: ${client.kernel.toFixed(0)} B`,
			]),
			...connections.map((use, index) =>
				row(
					index === 0 ? 'connection' : `connection_${use.connections}`,
					`an open connection, at ${use.connections} connections`,
					// a negative value is memory that the kernel freed elsewhere meanwhile
					use.table + Math.max(0, use.storage),
					atMostForConnection,
					[
						`in tables ${use.table.toFixed(0)} B per slot, with its socket ${use.storage.toFixed(0)} B`,
						`all ${use.slots} slots, per open connection: ${((use.table * use.slots) / use.connections).toFixed(0)} B`,
						`${use.in_storage} connections used socket storage`,
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

async function mapsOf(sandbox: Sandbox, config: string): Promise<number> {
	await using daemon = await startDaemon(sandbox, 'with', config);
	return mapBytes(pidOf(daemon));
}

/** A full table, compared with one that has a single slot. */
async function measureClients(sandbox: Sandbox, clients: number, least: Use): Promise<Use> {
	await using daemon = await startDaemon(
		sandbox,
		'with',
		`clients: {capacity: ${clients}, max_exported: 0}\nconnections: {max: 1}`,
	);
	{
		await using generator = await Generator.start(sandbox, clients);
		await generator.run(observed, { seconds: longest, connections: clients });
	}
	await untilClosed(sandbox, daemon, clients);
	await untilTracked(sandbox, daemon, clients);
	return {
		maps: (mapBytes(pidOf(daemon)) - least.maps) / clients,
		kernel: (kernelBytes() - least.kernel) / clients,
	};
}

/**
 * Connections that toascope sees, compared with connections that it does not see; and the slots of
 * its tables.
 */
async function measureConnections(
	sandbox: Sandbox,
	connections: number,
	repeats: number,
	least: number,
): Promise<ConnectionUse> {
	const slots = slotsFor(connections);
	const config = `clients: {capacity: 1, max_exported: 0}\nconnections: {max: ${slots}}`;
	await using daemon = await startDaemon(sandbox, 'with', config);
	const table = (mapBytes(pidOf(daemon)) - least) / slots;
	await using holding = await Holding.start(sandbox, 1000);
	const bytesWhileOpen = async (cgroups: typeof observed) => {
		await holding.hold(cgroups, connections);
		const bytes = kernelBytes();
		await holding.drop();
		return bytes;
	};
	// the kernel keeps what it allocates for the first connections, so these do not count
	await bytesWhileOpen(unobserved);
	await bytesWhileOpen(observed);
	const differences: number[] = [];
	for (let repeat = 0; repeat < repeats; repeat++) {
		const without = await bytesWhileOpen(unobserved);
		differences.push(((await bytesWhileOpen(observed)) - without) / connections);
	}
	const samples = await untilClosed(sandbox, daemon, connections * (repeats + 1));
	const inStorage = Number(total(samples, 'toascope_drops_total', { reason: 'connections_full' }));
	return { connections, slots, table, storage: median(differences), repeats: differences, in_storage: inStorage };
}
