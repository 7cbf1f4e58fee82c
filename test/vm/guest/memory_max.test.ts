// SPDX-License-Identifier: Apache-2.0
/**
 * A daemon in a memory cgroup, with a limit little above what it uses after its start: connections
 * of processes in other cgroups use no more than `connections.max` allows for, and those without a
 * slot use a known number of bytes each.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Holding } from '../../../bench/holding.ts';
import { mapBytes } from '../../../bench/memory_use.ts';
import { Sandbox } from '../../../bench/sandbox.ts';
import { connectionLayout } from '../../../daemon/capture/records/layout.gen.ts';
import { native } from '../../../native/binding.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { readiness } from '../../kit/daemon/readiness.ts';
import { unitEnvironment } from '../../kit/daemon/unit_environment.ts';
import { MemoryCgroup, MemoryController } from '../../kit/kernel/memory_cgroup.ts';
import { type Sample, total } from '../../kit/telemetry/metrics.ts';

const mib = 2 ** 20;
const slots = 16_384;
const clients = 500;
/** Beyond what the daemon uses after its start: for its heap, and connections without a slot. */
const slackBytes = 24 * mib;
/**
 * Kernel memory for the daemon itself in a minute: page tables, sockets of scrapes, its 500 series.
 */
const ownKernelBytes = mib / 2;
/** A socket's storage: an entry of 264 bytes in a slab of 512, and 192 for what it belongs to. */
const bytesInStorage = 768;
/** The two sockets of a connection; a process is charged for those that it creates. */
const leastBytesOfSockets = 4096;

const count = (samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}) =>
	Number(total(samples, `toascope_${name}`, labels));

/** Before 5.11 the kernel does not charge programs and maps to a cgroup. */
const isCharged = native().probe().features.memoryAccounting === '';

describe.runIf(isCharged)(`a daemon with ${slots} slots and MemoryMax=`, () => {
	let controller: MemoryController;
	let sandbox: Sandbox;
	let group: MemoryCgroup;
	let daemon: Daemon;
	let opened = 0;

	beforeAll(async () => {
		controller = new MemoryController();
		sandbox = await Sandbox.open(new AbortController().signal);
		group = new MemoryCgroup(join(controller.root, `toascope-test-${process.pid}`));
		daemon = await Daemon.start({
			config: [
				`cgroup: ${sandbox.cgroup('with')}`,
				`connections: {max: ${slots}}`,
				`clients: {max_exported: ${clients}, per_prefix: off}`,
			].join('\n'),
			env: unitEnvironment,
			through: group.through,
		});
		await readiness(daemon, 200);
	});
	afterAll(async () => {
		await daemon?.stop();
		await group?.[Symbol.asyncDispose]();
		await sandbox?.[Symbol.asyncDispose]();
		controller?.[Symbol.dispose]();
	});

	const expectAlive = async () => {
		expect(group.events).toMatchObject({ oom: 0, oom_kill: 0 });
		expect(daemon.child).toMatchObject({ exitCode: null, signalCode: null });
		await readiness(daemon, 200);
	};
	const othersBytes = () => Number(readFileSync(join(sandbox.directory, 'memory.current'), 'utf8'));

	it('is charged for its maps at its start', () => {
		const maps = mapBytes(daemon.child.pid ?? Number.NaN);
		expect(maps).toBeGreaterThan(slots * connectionLayout.size);
		expect(group.stat['kernel']).toBeGreaterThan(0.75 * maps);
		group.max = group.current + slackBytes;
	});

	it.each([
		['a quarter of connections.max', slots / 4, { least: 0, most: 0 }],
		['connections.max', slots, { least: 0, most: slots / 8 }],
		['half as many more', 1.5 * slots, { least: slots / 2, most: slots }],
	])('%s: open connections use the known memory, and their counts are exact', async (_what, connections, storage) => {
		const before = { stat: group.stat, others: othersBytes(), samples: await daemon.metrics() };
		const since = (samples: Sample[], name: string, labels?: Readonly<Record<string, string>>) =>
			count(samples, name, labels) - count(before.samples, name, labels);
		const reached = (name: string, value: number) =>
			daemon.until((samples) => (count(samples, name) >= value ? samples : undefined));
		const grown = (name: string) => (group.stat[name] ?? Number.NaN) - (before.stat[name] ?? Number.NaN);

		await using holding = await Holding.start(sandbox, clients);
		await holding.hold({ server: 'with', client: 'without' }, connections);
		opened += connections;
		const open = await reached('connections_opened_total', opened);
		expect(count(open, 'connections_opened_total')).toBe(opened);
		const inStorage = since(open, 'drops_total', { reason: 'connections_full' });
		expect(inStorage).toBeGreaterThanOrEqual(storage.least);
		expect(inStorage).toBeLessThanOrEqual(storage.most);

		expect(grown('kernel')).toBeLessThan(ownKernelBytes + inStorage * bytesInStorage);
		expect(grown('slab')).toBeLessThan(ownKernelBytes + inStorage * bytesInStorage);
		for (const part of ['vmalloc', 'percpu', 'sock']) expect(grown(part), part).toBeLessThan(ownKernelBytes / 2);
		expect(othersBytes() - before.others).toBeGreaterThan(connections * leastBytesOfSockets);
		await expectAlive();

		await holding.drop();
		const closed = await reached('connections_closed_total', opened);
		expect(count(closed, 'connections_closed_total')).toBe(opened);
		expect(count(closed, 'handshakes_total', { result: 'toa' })).toBe(opened);
		expect(count(closed, 'client_connections_opened_total')).toBe(opened);
		expect(count(closed, 'client_connections_closed_total')).toBe(opened);
		expect(count(closed, 'drops_total', { reason: 'socket_storage' })).toBe(0);
		// storage is freed with its socket, after a grace period
		await expect.poll(() => grown('kernel'), { timeout: 20_000 }).toBeLessThan(ownKernelBytes);
		await expectAlive();
	});
});
