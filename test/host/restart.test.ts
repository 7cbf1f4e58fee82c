// SPDX-License-Identifier: Apache-2.0
/**
 * Pinned programs and maps outlive the daemon: they continue to count and to answer, and the next
 * daemon adopts them.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { fexitPrograms } from '../../daemon/capture/load.ts';
import { bpfReader, type OptionReader } from '../../daemon/capture/provider.ts';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { network } from '../../daemon/lab/lab.ts';
import { telemetryDrops } from '../../daemon/model/drops.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { listenOn } from '../kit/daemon/occupied.ts';
import { allGone, attachedAt, kernelObjectsOf, remaining } from '../kit/kernel/bpf_objects.ts';
import { createdSamples } from '../kit/telemetry/at_rest.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { clientAddress, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(2);
const listener = `${network.server}:${port}`;
const layout = `v${constant.TOASCOPE_LAYOUT}`;
/**
 * The number of fexit programs on accept. Their links are not adopted: a new one is attached before
 * the old one is detached.
 */
const traced = fexitPrograms(native().probe(), { accept: true }).length;
/**
 * The number of links on hooks of the cgroup: sockops, getsockopt, and getpeername4 and 6 where
 * nothing else observes accepts.
 */
const hooks = traced > 0 ? 2 : 4;

const config = (...more: string[]) =>
	[
		`listeners: {ports: [${port}]}`,
		...(more.some((line) => line.startsWith('bpf:')) ? [] : [`bpf: {pin: ${pin}}`]),
		...more,
	].join('\n');

afterEach(() => expect(existsSync(pin)).toBe(false));

/** Opens and closes this many connections of one client. */
async function connections(stage: Stage, count: number): Promise<void> {
	for (let made = 0; made < count; made++) {
		await using _one = await stage.connect('AF_INET', 'nat64');
	}
}

/**
 * Waits until this many connections have opened and closed, all of one client, and that client's
 * own series has the same count.
 */
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
		.poll(read, { timeout: scaleTimeout(20_000), interval: 200 })
		.toEqual({ opened, closed, toa: opened, client: opened });
}

/** When the counters of the whole table began, by their names; they are not those of a listener. */
async function tableCreated(daemon: Daemon): Promise<ReadonlyMap<string, string>> {
	const ofTable = /^toascope_(clients_folded|listeners_folded|clients_overflowed|drops|connections_counted)_created$/;
	// what the daemon itself drops began with it
	const ownReasons: readonly (string | undefined)[] = telemetryDrops;
	const pinned = (await createdSamples(daemon)).filter(
		({ name, labels }) => ofTable.test(name) && !ownReasons.includes(labels['reason']),
	);
	return new Map(pinned.map(({ name, value }) => [name, value]));
}

/** Waits until the only links left are those that the kernel counts with. */
async function hooksLeft(before: ReturnType<typeof kernelObjectsOf>): Promise<readonly number[]> {
	for (;;) {
		const { links, maps } = remaining(before);
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
] as const)('%s: hooks and counters stay, and the next daemon adopts them', async (_what, signal, code, onExit) => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config(`on_exit: ${onExit}`) });
	await connections(stage, 3);
	await counted(first, 3n);
	const created = await tableCreated(first);
	expect(created.size).toBe(5);
	const before = kernelObjectsOf(first.child.pid ?? 0);
	expect(await first.stop(signal)).toBe(code);
	const links = await hooksLeft(before);

	// no daemon is running: only the kernel counts and answers
	await connections(stage, 4);
	const held = await stage.connect('AF_INET', 'nat64');
	const { result, bytes } = await held.probe.getsockopt(0, 4096, 20);
	expect({ result, port: bytes.readUInt16BE(16) }).toEqual({ result: 0, port: held.client.port });

	await using second = await Daemon.start({ config: config() });
	expect((await second.logged(/^attached/)).adopted).toBe(true);
	const after = kernelObjectsOf(second.child.pid ?? 0);
	expect(links.filter((link) => after.links.includes(link))).toHaveLength(hooks);
	expect(await tableCreated(second)).toEqual(created);
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
});

test('killed without pins: nothing is left', async () => {
	await using daemon = await Daemon.start({ config: config('bpf: {pin: off}') });
	const before = kernelObjectsOf(daemon.child.pid ?? 0);
	expect(before.links.length).toBeGreaterThanOrEqual(hooks + traced);
	expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
	await allGone(before);
});

test('a start that fails removes nothing that an earlier daemon left', async () => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config('on_exit: keep') });
	await connections(stage, 2);
	await counted(first, 2n);
	await first.stop();

	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	try {
		const socket = join(directory, 'taken.sock');
		await using _other = await listenOn(socket);
		const http = `http: {listen: off, socket: ${socket}}`;
		await expect(Daemon.start({ config: config(http) })).rejects.toThrow('ALREADY_RUNNING');
	} finally {
		rmSync(directory, { recursive: true });
	}
	await connections(stage, 1);

	await using second = await Daemon.start({ config: config() });
	await counted(second, 3n);
});

test('a failed start with the other provider leaves no pins of its own, and the counters continue', async () => {
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config: config('on_exit: keep') });
	await connections(stage, 2);
	await counted(first, 2n);
	await first.stop();
	const pinned = () => readdirSync(pin, { recursive: true }).sort();
	const before = pinned();

	// toa.ko is not loaded, so these tracepoints do not exist
	const reader: OptionReader = { ...bpfReader, name: 'module' };
	const given = toConfig(fileSchema.parse({ listeners: { ports: [port] }, bpf: { pin } }), {});
	expect(() => BpfProvider.open(given, reader, pino({ enabled: false }))).toThrow(/toascope_toa_gone/);
	expect(pinned()).toEqual(before);
	await connections(stage, 1);

	await using second = await Daemon.start({ config: config() });
	expect((await second.logged(/^attached/)).adopted).toBe(true);
	await counted(second, 3n);
});

describe('pinned maps whose sizes differ from the configuration', () => {
	test('are migrated and removed', async () => {
		await using stage = await Stage.open(port);
		await using first = await Daemon.start({ config: config('on_exit: keep') });
		const before = kernelObjectsOf(first.child.pid ?? 0);
		const created = await tableCreated(first);
		await connections(stage, 2);
		await counted(first, 2n);
		await first.stop();
		await using second = await Daemon.start({ config: config('clients: {capacity: 1000}\nconnections: {max: 1000}') });
		expect((await second.logged(/sizes of the pinned maps differ/)).level).toBe(30);
		expect(await second.logged(/are migrated/)).toMatchObject({ level: 30, layout: `${layout}-before`, open: 0 });
		expect(readdirSync(pin)).toEqual([layout]);
		await allGone({ ...before, programs: [] });
		expect(await tableCreated(second)).toEqual(created);
		await counted(second, 2n);
		await connections(stage, 1);
		await counted(second, 3n);
	});

	test('continue to count if a start with other sizes fails, and are migrated by the next start', async () => {
		await using stage = await Stage.open(port);
		await using first = await Daemon.start({ config: config('on_exit: keep') });
		await connections(stage, 1);
		await counted(first, 1n);
		await first.stop();
		// the start fails because the provider's tracepoints do not exist: by then the maps exist,
		// and nothing is attached
		const reader: OptionReader = { ...bpfReader, name: 'module' };
		const given = { listeners: { ports: [port] }, bpf: { pin }, clients: { capacity: 1000 } };
		const other = toConfig(fileSchema.parse(given), {});
		expect(() => BpfProvider.open(other, reader, pino({ enabled: false }))).toThrow(/toascope_toa_gone/);
		expect(readdirSync(pin)).toContain(`${layout}-before`);
		await connections(stage, 1);
		await using second = await Daemon.start({ config: config() });
		expect(await second.logged(/are migrated/)).toMatchObject({ layout: `${layout}-before` });
		await counted(second, 2n);
	});

	test('are not migrated if the new maps are too small: counters start from zero, and the log says so', async () => {
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

test('counters continue with other prefixes', async () => {
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

	async function leaveAttached(): Promise<void> {
		await using first = await Daemon.start({ config: config('on_exit: keep', `cgroup: ${here}`) });
		await first.stop();
		expect(attachedAt(here)).toHaveLength(hooks);
	}

	test('is detached if it is no longer configured', async () => {
		await leaveAttached();
		await using _second = await Daemon.start({ config: config('sockopt: off', `cgroup: ${here}`) });
		expect(attachedAt(here)).toHaveLength(hooks - 1);
		expect(attachedAt(here).filter((name) => name.startsWith('toascope_getso'))).toEqual([]);
	});

	test('moves to another cgroup', async () => {
		await leaveAttached();
		await using _second = await Daemon.start({ config: config(`cgroup: ${there}`) });
		expect(attachedAt(here)).toEqual([]);
		expect(attachedAt(there)).toHaveLength(hooks);
	});
});
