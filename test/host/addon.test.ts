// SPDX-License-Identifier: Apache-2.0
/** Edge cases of the addon: close(), errors, garbage collection, threads. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type BpfObject, type BpfOptions, native } from '../../native/binding.ts';
import { openObjects, smallObject } from '../kit/kernel/addon_child.ts';
import { preload } from '../kit/kernel/c_program.ts';
import { closeAfterEach, open } from '../kit/kernel/objects.ts';

const child = fileURLToPath(new URL('../kit/kernel/addon_child.ts', import.meta.url));

/** Runs the child in a separate process. `by` is a command that starts it. */
function inChild<T>(work: string, by: readonly string[] = [], flags: readonly string[] = [], more: object = {}): T {
	const [command = '', ...args] = [...by, process.execPath, ...flags, child, work];
	return JSON.parse(execFileSync(command, args, { encoding: 'utf8', env: { ...process.env, ...more } })) as T;
}

closeAfterEach();

const key = Buffer.alloc(4);

test('where no thread can be created, a call that would start one does without it, and the process continues', () => {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	try {
		const env = { ...preload('failing_threads'), FAILING_THREADS: join(directory, 'now') };
		expect(inChild('threadless', [], [], env)).toEqual({ setSaveSyn: 'EBADF' });
	} finally {
		rmSync(directory, { recursive: true });
	}
});

describe('close()', () => {
	test('can be called twice; afterwards other calls fail with EBADF', () => {
		const object = open();
		const [clients, settings, generation] = [object.map('clients'), object.map('settings'), object.map('generation')];
		object.close();
		object.close();
		const calls: Record<string, () => unknown> = {
			attach: () => object.attach('toascope_listeners', {}),
			map: () => object.map('clients'),
			id: () => clients.id(),
			pin: () => clients.pin('/sys/fs/bpf/toascope-test-never'),
			lookup: () => settings.lookup(key, Buffer.alloc(8192)),
			update: () => generation.update(key, Buffer.alloc(4)),
			updateAll: () => clients.updateAll(Buffer.alloc(64), Buffer.alloc(4096)),
			remove: () => clients.remove(Buffer.alloc(64)),
			readAll: () => clients.readAll(Buffer.alloc(4096), Buffer.alloc(4096)),
			readPage: () => clients.readPage(Buffer.alloc(4096), Buffer.alloc(4096), undefined),
			count: () => clients.count(),
			iterate: () => object.iterate('toascope_listeners', Buffer.alloc(64)),
			run: () => object.run('toascope_fold', Buffer.alloc(64)),
			programStatistics: () => object.programStatistics(),
			drain: () => object.drain(Buffer.alloc(4096)),
			synchronize: () => object.synchronize(),
		};
		for (const [name, call] of Object.entries(calls)) {
			expect(call, name).toThrow(expect.objectContaining({ code: 'EBADF', errno: 9 }));
		}
		object.detach('toascope_listeners');
	});

	test('detaches and frees attached programs', () => {
		const object = open();
		object.attach('toascope_listeners', {});
		expect(openObjects('link_id')).toBe(1);
		object.close();
		expect([openObjects('link_id'), openObjects('prog_id')]).toEqual([0, 0]);
	});

	test('does not disturb calls of synchronize() that are pending', async () => {
		const object = open();
		const waits = [object.synchronize(), object.synchronize()];
		object.close();
		expect(await Promise.all(waits)).toEqual([undefined, undefined]);
	});

	test('of one object does not affect another', () => {
		const [first, second] = [open(), open()];
		first.map('generation').update(key, Buffer.from([1, 0, 0, 0]));
		second.map('generation').update(key, Buffer.from([2, 0, 0, 0]));
		first.close();
		const value = Buffer.alloc(4);
		expect(second.map('generation').lookup(key, value)).toBe(true);
		expect(value.readUInt32LE()).toBe(2);
		second.close();
	});
});

type Counts = { maps: number; programs: number; links: number };
const nothing: Counts = { maps: 0, programs: 0, links: 0 };

test('objects that become unreachable without close() are freed by garbage collection', () => {
	const { before, after } = inChild<{ before: Counts; after: Counts }>('garbage', [], ['--expose-gc']);
	expect(before.maps).toBeGreaterThanOrEqual(5 * 13);
	expect(before.links).toBe(5);
	expect(after).toEqual(nothing);
});

test('four worker threads at once, each with an object: a thread that ends or is terminated frees its object', () => {
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

describe('an error', () => {
	const make = (options: Partial<BpfOptions>) => () => open(options).close();
	const failure = (code: string, op: string, target: string | RegExp) =>
		expect.objectContaining({
			code,
			errno: expect.any(Number),
			op,
			target: expect.stringMatching(target),
			message: expect.stringContaining(op),
		});

	test('of an unknown map or program', () => {
		const object = open();
		expect(() => object.map('nope')).toThrow(failure('ENOENT', 'find map', 'nope'));
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

	test('of an iterator whose output exceeds the buffer', async () => {
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

	test('of the verifier: it names the program, and the last lines of the log say why', () => {
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

describe('wrong arguments', () => {
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
		object.attach('toascope_listeners', {});
		for (const [method, ...args] of [
			['iterate', 'toascope_listeners'],
			['iterate', 'toascope_listeners', {}],
			['run', 'toascope_fold'],
			['run', 'toascope_fold', 'packet'],
			['drain'],
			['drain', 'buffer'],
		] as const) {
			wrong(() => loose[method]?.(...args), TypeError);
		}
		wrong(() => object.drain(Buffer.alloc(3)), RangeError);
		object.close();
	});

	test('of the methods of its maps', () => {
		const object = open();
		const maps = { clients: object.map('clients'), generation: object.map('generation') } as unknown as Record<
			'clients' | 'generation',
			Record<string, (...args: unknown[]) => unknown>
		>;
		const short = Buffer.alloc(3);
		for (const [map, method, ...args] of [
			['clients', 'lookup'],
			['clients', 'lookup', 'key', 'value'],
			['generation', 'update', key],
			['clients', 'remove'],
			['clients', 'readAll'],
		] as const) {
			wrong(() => maps[map][method]?.(...args), TypeError);
		}
		for (const [map, method, ...args] of [
			['generation', 'lookup', short, key],
			['generation', 'lookup', key, short],
			['generation', 'update', short, key],
			['generation', 'update', key, short],
			['clients', 'remove', short],
			['clients', 'readAll', short, short],
		] as const) {
			wrong(() => maps[map][method]?.(...args), RangeError);
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
