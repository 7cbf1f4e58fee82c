// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon checks what it has attached: a cgroup that is removed and created again, and links
 * that other processes detach, with and without pins.
 */
import { rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { constant, metaEntry } from '../../daemon/capture/records/layout.gen.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { readiness } from '../kit/daemon/readiness.ts';
import { attachedAt, cgroupLinks, detachLink, writePinned } from '../kit/kernel/bpf_objects.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { Probe } from '../kit/wire/probe.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listenPort = 10_000;
const listener = `192.0.2.2:${port}`;
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;

let cgroups: Cgroups;
let lab: Lab;
let client: LabClient;
let cgroup: string;

beforeAll(async () => {
	cgroups = Cgroups.open();
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	client = await lab.client();
});
afterAll(async () => {
	await lab?.close();
	await cgroups?.[Symbol.asyncDispose]();
});
beforeEach(() => {
	cgroup = cgroups.make('service');
});

const config = (...more: string[]) =>
	[`cgroup: ${cgroup}`, 'transparent: on', `listeners: {ports: [${port}]}`, ...more].join('\n');

/**
 * A server in the cgroup accepts one connection. Resolves with the result of getsockopt(4096)
 * there.
 */
async function connection(): Promise<{ result: number; port: number | undefined; client: number | undefined }> {
	const probe = await Probe.start(lab, 'dual', port, cgroup);
	try {
		const [, [made]] = await Promise.all([
			probe.accept(),
			client.run({ from: clientAddress, to: nat64Server, port: listenPort, hold: true }),
		]);
		await probe.read();
		const { result, bytes } = await probe.getsockopt(0, 4096, 20);
		await Promise.all([client.release(), probe.closeConnection()]);
		return { result, port: result === 0 ? bytes.readUInt16BE(16) : undefined, client: made?.clientPort };
	} finally {
		await probe[Symbol.asyncDispose]();
	}
}

const opened = (samples: Sample[]) => total(samples, 'toascope_connections_opened_total', { listener });
const isAttached = (samples: Sample[], program = 'toascope_sockops') =>
	total(samples, 'toascope_program_attached', { program });

async function counted(daemon: Daemon, connections: bigint): Promise<void> {
	await daemon.until((samples) => opened(samples) >= connections || undefined);
	expect(opened(await daemon.metrics())).toBe(connections);
}

/**
 * Removes the cgroup as a service manager does that ends a service: as soon as the last process has
 * left it.
 */
function removeCgroup(): void {
	for (;;) {
		try {
			rmdirSync(cgroup);
			return;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
		}
	}
}

describe('the cgroup of a service that restarts', () => {
	test('is removed: not ready, and logged; is created again: attached there, and the counters continue', async () => {
		await using daemon = await Daemon.start({ config: config() });
		expect(await connection()).toMatchObject({ result: 0 });
		await counted(daemon, 1n);
		expect(isAttached(await daemon.metrics())).toBe(1n);

		removeCgroup();
		expect(await readiness(daemon, 503)).toEqual(['cgroup_missing']);
		expect(await daemon.logged(/were detached/)).toMatchObject({ level: 50, cgroup, cgroup_exists: false });
		await daemon.until((samples) => isAttached(samples) === 0n || undefined);
		expect(total(await daemon.metrics(), 'toascope_provider_info')).toBe(0n);

		cgroups.make('service');
		await daemon.logged(/^programs are attached again/);
		await readiness(daemon, 200);
		const served = await connection();
		expect(served).toMatchObject({ result: 0, port: served.client });
		await counted(daemon, 2n);
		const samples = await daemon.metrics();
		for (const program of ['toascope_sockops', 'toascope_getsockopt', 'toascope_getpeername6']) {
			expect(isAttached(samples, program)).toBe(1n);
			expect(total(samples, 'toascope_attachments_lost_total', { attachment: program })).toBe(1n);
		}
		expect(attachedAt(cgroup)).toHaveLength(4);
		expect(daemon.log.filter(({ msg }) => /were detached/.test(msg))).toHaveLength(1);
	});

	test('is created again at once: the programs are attached there', async () => {
		await using daemon = await Daemon.start({ config: config() });
		removeCgroup();
		cgroups.make('service');
		await daemon.logged(/^programs are attached again/);
		expect(await connection()).toMatchObject({ result: 0 });
		await counted(daemon, 1n);
	});

	test('keeps its counters across a restart of the daemon as well', async () => {
		const kept = () => config(`bpf: {pin: ${pin}}`, 'on_exit: keep');
		{
			await using first = await Daemon.start({ config: kept() });
			await connection();
			await counted(first, 1n);
			removeCgroup();
			cgroups.make('service');
			await first.logged(/^programs are attached again/);
			await connection();
			await counted(first, 2n);
		}
		// also if no daemon was running when the cgroup was created again
		removeCgroup();
		cgroups.make('service');
		await using second = await Daemon.start({ config: config(`bpf: {pin: ${pin}}`) });
		expect(second.log.filter(({ msg }) => /from zero/.test(msg))).toEqual([]);
		await connection();
		await counted(second, 3n);
		expect(await second.stop()).toBe(0);
		expect(attachedAt(cgroup)).toEqual([]);
	});
});

describe('counters that an earlier version has pinned, for the id of a cgroup', () => {
	/**
	 * Writes the meta as such a version has it, for a cgroup with this id and the default prefixes.
	 */
	function pinById(id: bigint): void {
		const [key, value] = [Buffer.alloc(4), Buffer.alloc(8)];
		key.writeUInt32LE(metaEntry.META_SCOPE);
		value.writeBigUInt64LE((id << 16n) | BigInt((32 << 8) | 128));
		writePinned(join(pin, `v${constant.TOASCOPE_LAYOUT}`, 'maps/meta'), key, value);
	}

	test.each([
		['that still exists: they continue', 0n, 2n],
		['that no longer exists: they start from zero, and the log says so', 1n, 1n],
	])('%s', async (_what, more, connections) => {
		{
			await using first = await Daemon.start({ config: config(`bpf: {pin: ${pin}}`, 'on_exit: keep') });
			await connection();
			await counted(first, 1n);
		}
		pinById(statSync(cgroup, { bigint: true }).ino + more);
		await using second = await Daemon.start({ config: config(`bpf: {pin: ${pin}}`) });
		expect(second.log.filter(({ msg }) => /start from zero/.test(msg))).toHaveLength(Number(more));
		await connection();
		await counted(second, connections);
	});
});

describe('bpftool link detach', () => {
	test.each([
		['off', 'toascope_sockops', 'cgroup_sock_ops'],
		['off', 'toascope_getsockopt', 'cgroup_getsockopt'],
		['off', 'toascope_getpeername4', 'cgroup_inet4_getpeername'],
		[pin, 'toascope_sockops', 'cgroup_sock_ops'],
		[pin, 'toascope_getpeername6', 'cgroup_inet6_getpeername'],
	])('bpf.pin %s, %s: is attached again', async (where, program, hook) => {
		await using daemon = await Daemon.start({ config: config(`bpf: {pin: ${where}}`) });
		await connection();
		await counted(daemon, 1n);
		const link = cgroupLinks(daemon.child.pid ?? 0).get(hook);
		expect(link).toBeDefined();
		detachLink(link ?? 0);
		expect(await daemon.logged(/were detached/)).toMatchObject({ programs: [program], cgroup_exists: true });
		await daemon.logged(/^programs are attached again/);
		await readiness(daemon, 200);
		const served = await connection();
		expect(served).toMatchObject({ result: 0, port: served.client });
		await counted(daemon, 2n);
		expect(attachedAt(cgroup)).toHaveLength(4);
	});
});

test('a program detached again right after it was attached again is counted and attached once more', async () => {
	await using daemon = await Daemon.start({ config: config() });
	const detach = () => detachLink(cgroupLinks(daemon.child.pid ?? 0).get('cgroup_sock_ops') ?? 0);
	const labels = { attachment: 'toascope_sockops' };
	const again = (times: bigint) =>
		daemon.until(
			(samples) =>
				(total(samples, 'toascope_attachments_lost_total', labels) === times && isAttached(samples) === 1n) ||
				undefined,
		);
	detach();
	await daemon.logged(/^programs are attached again/);
	detach();
	await again(2n);
	// the log suppresses the second pair of lines, since it follows the first within a minute
	expect(daemon.log.filter(({ msg }) => /^programs are attached again/.test(msg))).toHaveLength(1);
	await connection();
	await counted(daemon, 1n);
});

test('a listener that began while programs were detached is set to save its SYNs', async () => {
	await using daemon = await Daemon.start({ config: config('profiles: [nat64, cdn4]') });
	const link = cgroupLinks(daemon.child.pid ?? 0).get('cgroup_sock_ops');
	// while stopped, the daemon cannot attach again before the listener exists
	daemon.child.kill('SIGSTOP');
	detachLink(link ?? 0);
	await using _probe = await Probe.start(lab, 'dual', port, cgroup);
	daemon.child.kill('SIGCONT');
	expect(await daemon.logged(/TCP_SAVE_SYN is set again/)).toMatchObject({ level: 40, listeners: 1 });
	expect(total(await daemon.metrics(), 'toascope_attachments_lost_total', { attachment: 'syns' })).toBe(1n);
});
