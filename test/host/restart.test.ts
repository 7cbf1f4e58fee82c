// SPDX-License-Identifier: Apache-2.0
/** What is pinned outlives the daemon: it goes on counting and answering, and the next daemon goes on with it. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limit } from '../../daemon/capture/layout.gen.ts';
import { fexitPrograms } from '../../daemon/capture/load.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import { native } from '../../daemon/capture/native.ts';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader, type OptionReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { network } from '../../daemon/lab/lab.ts';
import { answering } from '../fixtures/answering.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { allGone, attachedAt, belongings, left } from '../fixtures/leftovers.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { clientAddress, Stage, somePorts } from '../fixtures/stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(2);
const listener = `${network.server}:${port}`;
const layout = `v${limit.TOASCOPE_LAYOUT}`;
/** On accept; a link of theirs is not taken over: a new one goes in before the old one goes out. */
const traced = fexitPrograms(native().probe(), { accept: true }).length;
/** Links on hooks of the cgroup: sockops, getsockopt, and where nothing else sees accepts, getpeername4 and 6. */
const hooks = traced > 0 ? 2 : 4;

const config = (...more: string[]) =>
	[
		`listeners: {ports: [${port}]}`,
		...(more.some((line) => line.startsWith('bpf:')) ? [] : [`bpf: {pin: ${pin}}`]),
		...more,
	].join('\n');

afterEach(() => expect(existsSync(pin)).toBe(false));

/** Opens and closes so many connections of one client. */
async function connections(stage: Stage, count: number): Promise<void> {
	for (let made = 0; made < count; made++) {
		await using _one = await stage.connect('AF_INET', 'nat64');
	}
}

/** Waits until so many are opened and closed, all of one client, and that client's own series says so as well. */
async function counted(daemon: Daemon, opened: bigint, closed = opened): Promise<void> {
	const read = async () => {
		const samples = await daemon.metrics();
		const of = (name: string, labels: object = {}) => total(samples, `toascope_${name}_total`, { listener, ...labels });
		return {
			opened: of('connections_opened'),
			closed: of('connections_closed'),
			toa: of('handshakes', { result: 'toa' }),
			client: of('client_connections_opened', { client: clientAddress }),
		};
	};
	await expect
		.poll(read, { timeout: patient(20_000), interval: 200 })
		.toEqual({ opened, closed, toa: opened, client: opened });
}

/** Waits until of the links only those are left that the kernel counts with. */
async function hooksLeft(had: ReturnType<typeof belongings>): Promise<readonly number[]> {
	for (;;) {
		const { links, maps } = left(had);
		if (links.length <= hooks + traced) {
			expect(links).toHaveLength(hooks + traced);
			expect(maps.length).toBeGreaterThanOrEqual(13);
			return links;
		}
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
}

test.each([
	['killed', 'SIGKILL', 'SIGKILL', 'detach'],
	['stopped with on_exit: keep', 'SIGTERM', 0, 'keep'],
] as const)(
	'%s: hooks and counters stay, and the next daemon goes on with them',
	async (_what, signal, code, onExit) => {
		await using stage = await Stage.open(port);
		await using first = await Daemon.start({ config: config(`on_exit: ${onExit}`) });
		await connections(stage, 3);
		await counted(first, 3n);
		const before = belongings(first.child.pid ?? 0);
		expect(await first.stop(signal)).toBe(code);
		const links = await hooksLeft(before);

		// nobody is there but the kernel
		await connections(stage, 4);
		const held = await stage.connect('AF_INET', 'nat64');
		const { result, bytes } = await held.probe.getsockopt(0, 4096, 20);
		expect({ result, port: bytes.readUInt16BE(16) }).toEqual({ result: 0, port: held.client.port });

		await using second = await Daemon.start({ config: config() });
		expect((await second.logged(/^attached/)).adopted).toBe(true);
		const after = belongings(second.child.pid ?? 0);
		expect(links.filter((link) => after.links.includes(link))).toHaveLength(hooks);
		await counted(second, 8n, 7n);
		const peer = `${held.accepted.address}:${held.accepted.port}`;
		const { connections: found } = await second.json<{ connections: { state: string; client: object }[] }>(
			`/v1/connections?peer=${peer}&local=${listener}`,
		);
		expect(found).toMatchObject([{ state: 'open', client: { address: clientAddress, port: held.client.port } }]);

		await held[Symbol.asyncDispose]();
		await counted(second, 8n);
		expect(await second.stop()).toBe(0);
		await allGone(before);
		await allGone(after);
	},
);

test('killed without pins: nothing stays', async () => {
	await using daemon = await Daemon.start({ config: config('bpf: {pin: off}') });
	const before = belongings(daemon.child.pid ?? 0);
	expect(before.links.length).toBeGreaterThanOrEqual(hooks + traced);
	expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
	await allGone(before);
});

test('a start that fails throws away nothing that an earlier daemon left', async () => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config('on_exit: keep') });
	await connections(stage, 2);
	await counted(first, 2n);
	await first.stop();

	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	try {
		const socket = join(directory, 'taken.sock');
		await using _other = await answering(socket);
		const http = `http: {listen: off, socket: ${socket}}`;
		await expect(Daemon.start({ config: config(http) })).rejects.toThrow('ALREADY_RUNNING');
	} finally {
		rmSync(directory, { recursive: true });
	}
	await connections(stage, 1);

	await using second = await Daemon.start({ config: config() });
	await counted(second, 3n);
});

test('a start with the other provider that fails leaves no pins of it, and the counters go on', async () => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config('on_exit: keep') });
	await connections(stage, 2);
	await counted(first, 2n);
	await first.stop();
	const pinned = () => readdirSync(pin, { recursive: true }).sort();
	const before = pinned();

	// no toa.ko has made these tracepoints
	const reader: OptionReader = { ...bpfReader, name: 'module' };
	const given = toConfig(fileSchema.parse({ listeners: { ports: [port] }, bpf: { pin } }), {});
	expect(() => Programs.open(given, reader, pino({ enabled: false }))).toThrow(/toascope_toa_gone/);
	expect(pinned()).toEqual(before);
	await connections(stage, 1);

	await using second = await Daemon.start({ config: config() });
	expect((await second.logged(/^attached/)).adopted).toBe(true);
	await counted(second, 3n);
});

describe('maps of other sizes than the configuration', () => {
	test('hand their counters over, and go', async () => {
		await using stage = await Stage.open(port);
		await using first = await Daemon.start({ config: config('on_exit: keep') });
		const before = belongings(first.child.pid ?? 0);
		await connections(stage, 2);
		await counted(first, 2n);
		await first.stop();
		await using second = await Daemon.start({ config: config('clients: {capacity: 1000}\nconnections: {max: 1000}') });
		expect((await second.logged(/other sizes/)).level).toBe(30);
		expect(await second.logged(/carried over/)).toMatchObject({ level: 30, layout: `${layout}-before`, open: 0 });
		expect(readdirSync(pin)).toEqual([layout]);
		await allGone({ ...before, programs: [] });
		await counted(second, 2n);
		await connections(stage, 1);
		await counted(second, 3n);
	});

	test('go on counting where a start with others fails, and hand over what they counted meanwhile', async () => {
		await using stage = await Stage.open(port);
		await using first = await Daemon.start({ config: config('on_exit: keep') });
		await connections(stage, 1);
		await counted(first, 1n);
		await first.stop();
		// the kernel has no such provider's tracepoints: the maps are there by then, and nothing is attached
		const reader: OptionReader = { ...bpfReader, name: 'module' };
		const given = { listeners: { ports: [port] }, bpf: { pin }, clients: { capacity: 1000 } };
		const other = toConfig(fileSchema.parse(given), {});
		expect(() => Programs.open(other, reader, pino({ enabled: false }))).toThrow(/toascope_toa_gone/);
		expect(readdirSync(pin)).toContain(`${layout}-before`);
		await connections(stage, 1);
		await using second = await Daemon.start({ config: config() });
		expect(await second.logged(/carried over/)).toMatchObject({ layout: `${layout}-before` });
		await counted(second, 2n);
	});

	test('that are too small begin from zero, and the log says so', async () => {
		await using stage = await Stage.open(port);
		const both = (...more: string[]) =>
			[`listeners: {ports: [${port}, ${port + 1}]}`, `bpf: {pin: ${pin}}`, ...more].join('\n');
		await using first = await Daemon.start({ config: both('on_exit: keep') });
		{
			await using _elsewhere = await stage.connect('AF_INET6 dual-stack', 'nat64');
		}
		await connections(stage, 1);
		await counted(first, 1n);
		await first.stop();
		await using second = await Daemon.start({ config: both('clients: {capacity: 1, max_exported: 1}') });
		expect((await second.logged(/start from zero/)).why).toBe('clients: 2 entries, room for 1');
		expect(readdirSync(pin)).toEqual([layout]);
		await connections(stage, 1);
		await counted(second, 1n);
	});
});

test('counters go on with other prefixes', async () => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config('on_exit: keep') });
	await connections(stage, 2);
	await counted(first, 2n);
	await first.stop();
	await using second = await Daemon.start({ config: config('clients: {prefix6: 48}') });
	await connections(stage, 1);
	const opened = (client: string) => (samples: Sample[]) =>
		total(samples, 'toascope_client_connections_opened_total', { listener, client }) || undefined;
	expect(await second.until(opened('2001:db8:c::/48'))).toBe(1n);
	expect(await second.until(opened(clientAddress))).toBe(2n);
	expect(total(await second.metrics(), 'toascope_connections_opened_total', { listener })).toBe(3n);
});

describe('what another configuration left attached', () => {
	const root = findCgroup2(readMounts()) ?? '';
	const [here, there] = ['a', 'b'].map((name) => join(root, `toascope-test-${process.pid}-${name}`)) as [
		string,
		string,
	];
	beforeEach(() => {
		mkdirSync(here);
		mkdirSync(there);
	});
	afterEach(() => {
		rmdirSync(here);
		rmdirSync(there);
	});

	async function leave(): Promise<void> {
		await using first = await Daemon.start({ config: config('on_exit: keep', `cgroup: ${here}`) });
		await first.stop();
		expect(attachedAt(here)).toHaveLength(hooks);
	}

	test('goes where it is not wanted any more', async () => {
		await leave();
		await using _second = await Daemon.start({ config: config('sockopt: off', `cgroup: ${here}`) });
		expect(attachedAt(here)).toHaveLength(hooks - 1);
		expect(attachedAt(here).filter((name) => name.startsWith('toascope_getso'))).toEqual([]);
	});

	test('moves to another cgroup', async () => {
		await leave();
		await using _second = await Daemon.start({ config: config(`cgroup: ${there}`) });
		expect(attachedAt(here)).toEqual([]);
		expect(attachedAt(there)).toHaveLength(hooks);
	});
});
