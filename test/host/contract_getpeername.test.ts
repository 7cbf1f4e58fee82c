// SPDX-License-Identifier: Apache-2.0
/**
 * The contract: the address that accept() and getpeername() return, for each cell of the
 * table, and what the daemon knows of the connection.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { total } from '../kit/telemetry/metrics.ts';
import type { Peer } from '../kit/wire/probe.ts';
import {
	type Accepted,
	ipv4Of,
	isGateway,
	type Listener,
	listeners,
	Stage,
	somePorts,
	type Variant,
	variants,
} from '../kit/wire/toa_stage.ts';

const AF_INET = 2;
const AF_INET6 = 10;

const firstPort = somePorts(2);
const config = (...more: string[]) => [`listeners: {ports: ["${firstPort}-${firstPort + 1}"]}`, ...more].join('\n');

/** Lookups find connections: not where kernel memory cannot be read by address. */
const finds = native().probe().features.kernelReads === '';

let stage: Stage;

beforeAll(async () => {
	stage = await Stage.open(firstPort);
});
afterAll(async () => {
	await stage[Symbol.asyncDispose]();
});

const shapes = {
	AF_INET: { family: AF_INET, length: 16 },
	'AF_INET6 dual-stack': { family: AF_INET6, length: 28 },
} as const;

type Cell = readonly [Listener, Variant];

const cells = (of: readonly Listener[], more: readonly Variant[]): Cell[] =>
	of.flatMap((listener) => more.map((variant): Cell => [listener, variant]));

const ipv6: Variant[] = ['nat64', 'toa6', 'nat64 only on the ACK'];
const ipv4: Variant[] = ['toa4', 'toa4 only on the ACK'];
const everyVariant = Object.keys(variants) as Variant[];

/** Expects both calls to return the balancer, in the address family of the listener. */
async function expectUnchanged(listener: Listener, { accepted, probe }: Accepted): Promise<void> {
	expect(accepted).toMatchObject(shapes[listener]);
	expect(accepted.address).toSatisfy(isGateway);
	expect(accepted.address.startsWith('::ffff:')).toBe(listener !== 'AF_INET');
	expect(await probe.getpeername()).toEqual(accepted);
}

async function expectPeer(listener: Listener, { accepted, probe }: Accepted, peer: Pick<Peer, 'address' | 'port'>) {
	expect(accepted).toEqual({ ...shapes[listener], ...peer });
	expect(await probe.getpeername()).toEqual(accepted);
}

/** What the daemon finds for the address that the application was given. */
async function known(daemon: Daemon, { address, port }: Peer): Promise<ConnectionJson | undefined> {
	const peer = `${address.replace('::ffff:', '')}:${port}`;
	const path = `/v1/connections?peer=${peer}&netns=${stage.lab.netnsInode('server')}`;
	const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
	return connections[0];
}

describe('transparent off', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config() });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each(cells(listeners, everyVariant))('%s, %s: shows the balancer', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		await expectUnchanged(listener, connection);
	});

	it.runIf(finds).each(listeners)(
		'%s: accept() with an address buffer is observed, with process and client',
		async (listener) => {
			const { accept_program } = await daemon.json<{ accept_program: string }>('/v1/status');
			await using connection = await stage.connect(listener, 'nat64');
			const { client, probe, accepted } = connection;
			expect(await known(daemon, accepted)).toMatchObject({
				local: { port: probe.port },
				verdict: 'toa',
				profile: 'nat64',
				client,
				state: 'open',
				seen: accept_program,
				accepted_at: expect.any(String),
				process: { pid: probe.pid, comm: 'probe', by: 'accept' },
			});
		},
	);

	it.runIf(finds)('accept() without a buffer: a later getpeername() does not count as the accept', async () => {
		const { accept_program } = await daemon.json<{ accept_program: string }>('/v1/status');
		await using connection = await stage.connect('AF_INET', 'nat64', { silently: true });
		const { probe, accepted, client } = connection;
		const seen = accept_program === 'fexit' ? 'fexit' : 'unseen';
		// the close of the connection shows that it was accepted; the next sweep of open
		// connections can be seconds away
		await connection[Symbol.asyncDispose]();
		const found = await known(daemon, accepted);
		expect(found).toMatchObject({
			client,
			seen,
			process: { pid: probe.pid, comm: 'probe', by: seen === 'unseen' ? 'listener' : 'accept' },
		});
		if (seen === 'unseen') expect(found?.accepted_at).toBeNull();
	});
});

it.skipIf(finds)(
	'a kernel that lets no program read memory: no lookup finds a connection, accepts are counted',
	async () => {
		await using daemon = await Daemon.start({ config: config() });
		const { accept_program: seen } = await daemon.json<{ accept_program: string }>('/v1/status');
		for (const options of [{}, { silently: true }]) {
			await using connection = await stage.connect('AF_INET', 'nat64', options);
			expect(await known(daemon, connection.accepted)).toBeUndefined();
		}
		await daemon.until((samples) => (total(samples, 'toascope_connections_closed_total') === 2n ? true : undefined));
		const accepts = (observed: string) =>
			daemon.metrics().then((all) => total(all, 'toascope_accepts_total', { seen: observed }));
		expect([await accepts(seen), await accepts('unseen')]).toEqual(seen === 'fexit' ? [2n, 0n] : [1n, 1n]);
	},
);

describe('transparent on', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config('transparent: on') });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each(cells(['AF_INET'], ipv6))('%s, %s: shows the balancer (the family is fixed)', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		await expectUnchanged(listener, connection);
	});

	it.each(cells(['AF_INET6 dual-stack'], ipv6))('%s, %s: shows the client', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		await expectPeer(listener, connection, connection.client);
	});

	it.each(cells(['AF_INET'], ipv4))('%s, %s: shows the client', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		const { address, port } = connection.client;
		await expectPeer(listener, connection, { address: ipv4Of(address), port });
	});

	it.each(cells(['AF_INET6 dual-stack'], ipv4))('%s, %s: shows the client as ::ffff:', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		const { address, port } = connection.client;
		await expectPeer(listener, connection, { address: `::ffff:${ipv4Of(address)}`, port });
	});

	// accept() can return before the data arrives
	it.each<[Listener, Variant, (address: string) => string]>([
		['AF_INET6 dual-stack', 'nat64 only on data', (address) => address],
		['AF_INET6 dual-stack', 'toa4 only on data', (address) => `::ffff:${ipv4Of(address)}`],
		['AF_INET', 'toa4 only on data', ipv4Of],
	])('%s, %s: getpeername() returns the client', async (listener, variant, shown) => {
		await using connection = await stage.connect(listener, variant);
		const { address, port } = connection.client;
		expect(await connection.probe.getpeername()).toEqual({ ...shapes[listener], address: shown(address), port });
	});

	it.each(cells(listeners, ['none', 'unknown']))('%s, %s: shows the balancer', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		await expectUnchanged(listener, connection);
	});

	it.each(listeners)('%s, a direct client: shows it unchanged', async (listener) => {
		await using direct = await stage.lab.client('gateway');
		await using connection = await stage.connectDirectly(listener, direct);
		const { address, port } = connection.client;
		await expectPeer(listener, connection, { address: listener === 'AF_INET' ? address : `::ffff:${address}`, port });
	});

	it.each(listeners)('%s, an untrusted sender: shows the balancer', async (listener) => {
		await daemon.reload(config('transparent: on', 'trust: [203.0.113.0/24, "2001:db8::/32"]'));
		for (const variant of [...ipv6, ...ipv4]) {
			await using connection = await stage.connect(listener, variant);
			await expectUnchanged(listener, connection);
		}
		await daemon.reload(config('transparent: on'));
	});
});

describe('transparent on for the ports of one listener', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config(`transparent: {enabled: on, ports: [${firstPort + 1}]}`) });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each(everyVariant)('the other listener, %s: shows the balancer', async (variant) => {
		await using connection = await stage.connect('AF_INET', variant);
		await expectUnchanged('AF_INET', connection);
	});

	it('that listener: shows the client', async () => {
		await using connection = await stage.connect('AF_INET6 dual-stack', 'nat64');
		await expectPeer('AF_INET6 dual-stack', connection, connection.client);
	});
});
