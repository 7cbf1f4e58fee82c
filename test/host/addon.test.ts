// SPDX-License-Identifier: Apache-2.0
/** The addon at its edges: ends, errors, garbage, threads, a ring that is full or read in small pieces. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { drop, eventLayout, eventType, limit, portBitsLayout } from '../../daemon/capture/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/capture/mounts.ts';
import { type BpfObject, type BpfOptions, native } from '../../daemon/capture/native.ts';
import { readEvent } from '../../daemon/capture/records.ts';
import { encodePorts, encodeSettings } from '../../daemon/capture/settings.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { openObjects, open as openSmall, smallObject } from '../fixtures/addon_child.ts';

const child = fileURLToPath(new URL('../fixtures/addon_child.ts', import.meta.url));

/** Runs the child in a process of its own; `by` is a command that runs it. */
function inChild<T>(work: string, by: readonly string[] = [], flags: readonly string[] = []): T {
	const [command = '', ...args] = [...by, process.execPath, ...flags, child, work];
	return JSON.parse(execFileSync(command, args, { encoding: 'utf8' })) as T;
}

const opened: BpfObject[] = [];

function open(options: Partial<BpfOptions> = {}): BpfObject {
	const object = openSmall(options);
	opened.push(object);
	return object;
}

// those of a test that failed must not fail the next
afterEach(() => {
	for (const object of opened.splice(0)) object.close();
	expect(openObjects('map_id')).toBe(0);
});

const key = Buffer.alloc(4);

describe('close()', () => {
	test('twice is once; nothing works after it', () => {
		const object = open();
		object.close();
		object.close();
		const calls: Record<string, () => unknown> = {
			attach: () => object.attach('toascope_listeners', {}),
			mapInfo: () => object.mapInfo('clients'),
			lookup: () => object.lookup('settings', key, Buffer.alloc(8192)),
			update: () => object.update('generation', key, Buffer.alloc(4)),
			remove: () => object.remove('clients', Buffer.alloc(64)),
			readAll: () => object.readAll('clients', Buffer.alloc(4096), Buffer.alloc(4096)),
			readPage: () => object.readPage('clients', Buffer.alloc(4096), Buffer.alloc(4096), undefined),
			count: () => object.count('clients'),
			iterate: () => object.iterate('toascope_listeners', Buffer.alloc(64)),
			run: () => object.run('toascope_fold', Buffer.alloc(64)),
			programStatistics: () => object.programStatistics(),
			drain: () => object.drain(Buffer.alloc(4096)),
			runsOver: () => object.runsOver(),
		};
		for (const [name, call] of Object.entries(calls)) {
			expect(call, name).toThrow(expect.objectContaining({ code: 'EBADF', errno: 9 }));
		}
		object.detach('toascope_listeners');
	});

	test('takes attached programs along', () => {
		const object = open();
		object.attach('toascope_listeners', {});
		expect(openObjects('link_id')).toBe(1);
		object.close();
		expect([openObjects('link_id'), openObjects('prog_id')]).toEqual([0, 0]);
	});

	test('while somebody waits for runs of programs takes nothing from under the wait', async () => {
		const object = open();
		const waits = [object.runsOver(), object.runsOver()];
		object.close();
		expect(await Promise.all(waits)).toEqual([undefined, undefined]);
	});

	test('of one object touches no other', () => {
		const [first, second] = [open(), open()];
		first.update('generation', key, Buffer.from([1, 0, 0, 0]));
		second.update('generation', key, Buffer.from([2, 0, 0, 0]));
		first.close();
		const value = Buffer.alloc(4);
		expect(second.lookup('generation', key, value)).toBe(true);
		expect(value.readUInt32LE()).toBe(2);
		second.close();
	});
});

describe('the ring', () => {
	const size = eventLayout.size;

	/** Attached at the root of cgroup v2; sends what happens on one port, opened and closed. */
	async function listening(
		ringBytes: number,
	): Promise<{ object: BpfObject; connections: (count: number) => Promise<void> } & AsyncDisposable> {
		const server = createServer({ allowHalfOpen: false }, (socket) => socket.resume()).listen(0, '127.0.0.1');
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		const object = open({ mapEntries: { ...smallObject.mapEntries, ring: ringBytes } });
		const config = toConfig(fileSchema.parse({ listeners: { ports: [port] } }), {});
		const ports = encodePorts(config);
		for (let index = 0; index < limit.PORT_WORDS; index++) {
			const place = Buffer.alloc(4);
			place.writeUInt32LE(index);
			object.update('ports', place, ports.subarray(index * portBitsLayout.size, (index + 1) * portBitsLayout.size));
		}
		const events = (1 << eventType.EVENT_OPENED) | (1 << eventType.EVENT_CLOSED);
		object.update('settings', key, encodeSettings(config, 0, events, 0));
		object.attach('toascope_sockops', { cgroup: findCgroup2(readMounts()) ?? '' });
		return {
			object,
			async connections(count) {
				for (let made = 0; made < count; made++) {
					const accepted = once(server, 'connection');
					const socket = connect(port, '127.0.0.1').end('x');
					const [[served]] = await Promise.all([accepted, once(socket, 'close')]);
					if (!served.closed) await once(served, 'close');
				}
			},
			async [Symbol.asyncDispose]() {
				object.close();
				server.close();
				await once(server, 'close');
			},
		};
	}

	/** Reads until so many records are there: the close of a socket ends in the kernel after its call has returned. */
	async function drained(object: BpfObject, records: number, buffer: Buffer): Promise<string[]> {
		const events: string[] = [];
		while (events.length < records) {
			const bytes = object.drain(buffer);
			expect(bytes % size).toBe(0);
			expect(bytes).toBeLessThanOrEqual(buffer.length);
			for (let at = 0; at < bytes; at += size) {
				const event = readEvent(buffer, at, () => undefined);
				events.push(`${event?.type} ${event?.connection.cookie}`);
			}
			if (bytes === 0) await new Promise(setImmediate);
		}
		return events;
	}

	test.each([1, 2.5, 7])('read by %s records at a time: whole ones, and none is lost', async (room) => {
		await using stage = await listening(1 << 20);
		await stage.connections(50);
		const events = await drained(stage.object, 100, Buffer.alloc(Math.floor(room * size)));
		expect(new Set(events).size).toBe(100);
		expect(stage.object.drain(Buffer.alloc(1 << 16))).toBe(0);
	});

	test('full: what has no room is counted', async () => {
		await using stage = await listening(4096);
		await stage.connections(50);
		const lost = () => {
			const place = Buffer.alloc(4);
			const value = Buffer.alloc(8);
			place.writeUInt32LE(drop.DROP_RING_FULL);
			stage.object.lookup('drops', place, value);
			return Number(value.readBigUInt64LE());
		};
		const buffer = Buffer.alloc(1 << 16);
		let read = 0;
		while (read + lost() < 100) {
			const bytes = stage.object.drain(buffer);
			read += bytes / size;
			if (bytes === 0) await new Promise(setImmediate);
		}
		expect(read).toBeGreaterThan(0);
		expect(lost()).toBeGreaterThan(0);
		expect(read + lost()).toBe(100);
	});

	test('closed while records wait', async () => {
		await using stage = await listening(1 << 20);
		await stage.connections(20);
		await drained(stage.object, 1, Buffer.alloc(size));
		stage.object.close();
		expect(() => stage.object.drain(Buffer.alloc(size))).toThrow(expect.objectContaining({ code: 'EBADF' }));
	});
});

type Counts = { maps: number; programs: number; links: number };
const nothing: Counts = { maps: 0, programs: 0, links: 0 };

test('objects that are dropped without close() are freed with the garbage', () => {
	const { before, after } = inChild<{ before: Counts; after: Counts }>('garbage', [], ['--expose-gc']);
	expect(before.maps).toBeGreaterThanOrEqual(5 * 13);
	expect(before.links).toBe(5);
	expect(after).toEqual(nothing);
});

test('four worker threads at once, each with an object; one is ended with it open', () => {
	const { answers, before, without, ended, after } = inChild<{
		answers: unknown[];
		before: Counts;
		without: Counts;
		ended: unknown[];
		after: Counts;
	}>('workers');
	expect(answers).toEqual([7, 7, 7, 7]);
	expect(without.maps).toBe((before.maps / 4) * 3);
	expect(ended).toEqual([0, 0, 0]);
	expect(after).toEqual(nothing);
});

describe('a failure', () => {
	const make = (options: Partial<BpfOptions>) => () => open(options).close();
	const failure = (code: string, op: string, target: string | RegExp) =>
		expect.objectContaining({
			code,
			errno: expect.any(Number),
			op,
			target: expect.stringMatching(target),
			message: expect.stringContaining(op),
		});

	test('of a name', () => {
		const object = open();
		expect(() => object.mapInfo('nope')).toThrow(failure('ENOENT', 'find map', 'nope'));
		expect(() => object.attach('nope')).toThrow(failure('ENOENT', 'find program', 'nope'));
		object.close();
		expect(make({ mapEntries: { nope: 1 } })).toThrow(failure('ENOENT', 'find map', 'nope'));
		expect(make({ autoload: { nope: true } })).toThrow(failure('ENOENT', 'find program', 'nope'));
	});

	test('of an attachment', () => {
		const object = open();
		const attach = (cgroup: string) => () => object.attach('toascope_sockops', { cgroup });
		expect(attach('/proc/nothing')).toThrow(failure('ENOENT', 'attach', 'toascope_sockops'));
		expect(attach('/tmp')).toThrow(failure('EBADF', 'attach', 'toascope_sockops'));
		expect(() => object.iterate('toascope_listeners', Buffer.alloc(8))).toThrow(
			failure('ENOTCONN', 'iterate', 'toascope_listeners'),
		);
		object.close();
	});

	test('of an iterator with more to say than there is room', async () => {
		const object = open();
		object.attach('toascope_listeners', {});
		const server = createServer().listen(0, '127.0.0.1');
		await once(server, 'listening');
		expect(() => object.iterate('toascope_listeners', Buffer.alloc(8))).toThrow(
			failure('ENOBUFS', 'iterate', 'toascope_listeners'),
		);
		expect(object.iterate('toascope_listeners', Buffer.alloc(1 << 20))).toBeGreaterThan(0);
		server.close();
		object.close();
	});

	test('of a map: the log names it', () => {
		const options = { mapEntries: { ...smallObject.mapEntries, clients: 2 ** 32 - 1 } };
		let thrown: unknown;
		try {
			open(options);
		} catch (error) {
			thrown = error;
		}
		expect(thrown).toMatchObject({ op: 'load', code: expect.stringMatching(/^(E2BIG|ENOMEM|EINVAL)$/) });
		expect((thrown as { log: string }).log).toContain("map 'clients'");
	});

	test("of the verifier: the program is named, and the log's last lines say why", () => {
		const less = ['setpriv', '--bounding-set=-perfmon,-sys_admin', '--inh-caps=-perfmon,-sys_admin'];
		const refused = inChild<{ code: string; op: string; target: string; log: string } & Counts>('load', less);
		expect(refused).toMatchObject({ op: 'load', code: expect.stringMatching(/^E(ACCES|PERM|INVAL)$/), ...nothing });
		expect(refused.target).toMatch(/^toascope_/);
		const lines = refused.log.split('\n');
		expect(lines.length).toBeGreaterThan(3);
		expect(lines.length).toBeLessThanOrEqual(20);
		expect(refused.log).toMatch(/prog '.*': failed to load/);
	});
});

describe('arguments that are none', () => {
	const wrong = (call: () => unknown, type: typeof TypeError | typeof RangeError) => expect(call).toThrow(type);

	test('of the constructor', () => {
		const { BpfObject } = native() as unknown as { BpfObject: new (...args: unknown[]) => BpfObject };
		for (const args of [[], [null], [5], [{}], [{ mapEntries: { clients: 'many' }, autoload: {} }]]) {
			wrong(() => new BpfObject(...args), TypeError);
		}
	});

	test('of its methods', () => {
		const object = open();
		const loose = object as unknown as Record<string, (...args: unknown[]) => unknown>;
		const short = Buffer.alloc(3);
		object.attach('toascope_listeners', {});
		for (const [method, ...args] of [
			['lookup', 'clients'],
			['lookup', 'clients', 'key', 'value'],
			['update', 'generation', key],
			['remove', 'clients'],
			['readAll', 'clients'],
			['iterate', 'toascope_listeners'],
			['iterate', 'toascope_listeners', {}],
			['run', 'toascope_fold'],
			['run', 'toascope_fold', 'packet'],
			['drain'],
			['drain', 'buffer'],
		] as const) {
			wrong(() => loose[method]?.(...args), TypeError);
		}
		for (const [method, ...args] of [
			['lookup', 'generation', short, key],
			['lookup', 'generation', key, short],
			['update', 'generation', short, key],
			['update', 'generation', key, short],
			['remove', 'clients', short],
			['readAll', 'clients', short, short],
			['drain', short],
		] as const) {
			wrong(() => loose[method]?.(...args), RangeError);
		}
		object.close();
	});

	test('of functions', () => {
		const loose = native() as unknown as Record<string, (...args: unknown[]) => unknown>;
		for (const name of ['notify', 'lock', 'mountBpffs', 'unmount']) {
			wrong(() => loose[name]?.(), TypeError);
			wrong(() => loose[name]?.({}, {}), TypeError);
		}
	});
});
