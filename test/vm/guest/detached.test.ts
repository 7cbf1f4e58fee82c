// SPDX-License-Identifier: Apache-2.0
/**
 * Attachments that only guests have, and that others can disturb: fexit programs and the
 * tracepoints of toa.ko. Their links cannot be detached, but functions can be switched off, pins
 * removed, and toa.ko unloaded or changed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { modulePrograms } from '../../../daemon/capture/load.ts';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { native } from '../../../native/binding.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { lookUpUntil } from '../../kit/daemon/lookup.ts';
import { readiness } from '../../kit/daemon/readiness.ts';
import { inMountNamespace, unmountAll } from '../../kit/daemon/restricted_process.ts';
import { detachLink, pinned, pinnedLink } from '../../kit/kernel/bpf_objects.ts';
import { loadToa, unloadToa } from '../../kit/kernel/module.ts';
import { hasModule, moduleFile } from '../../kit/kernel/module_file.ts';
import { total } from '../../kit/telemetry/metrics.ts';
import { Stage, somePorts } from '../../kit/wire/toa_stage.ts';

const port = somePorts(2);
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const config = (...more: string[]) => [`listeners: {ports: [${port}-${port + 1}]}`, ...more].join('\n');
const links = (pins: string) => pinnedLink(pins, '').replace(/\/$/, '');
const ftrace = '/proc/sys/kernel/ftrace_enabled';
const trust = '/sys/module/toa/parameters/trust';

let stage: Stage;
beforeAll(async () => {
	stage = await Stage.open(port);
});
afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
});
afterEach(() => writeFileSync(ftrace, '1'));

const isAttached = async (daemon: Daemon, program: string) =>
	total(await daemon.metrics(), 'toascope_program_attached', { program });
const lost = async (daemon: Daemon, attachment: string) =>
	total(await daemon.metrics(), 'toascope_attachments_lost_total', { attachment });

/** The result of getsockopt(4096) on a new connection. */
async function answer(): Promise<number> {
	await using connection = await stage.connect('AF_INET', 'nat64');
	return (await connection.probe.getsockopt(0, 4096, 20)).result;
}

/**
 * Expects that a link on a function or a tracepoint stays: the kernel has no operation that
 * detaches it while it is held or pinned.
 */
async function expectLinkStays(daemon: Daemon, program: string): Promise<void> {
	const before = pinned(links(pin)).get(program);
	expect(before).toBeDefined();
	// bpftool prints its errors on standard output, as JSON
	const refused = expect.objectContaining({ stdout: expect.stringContaining('not supported') });
	expect(() => detachLink(before?.id ?? 0)).toThrow(refused);
	rmSync(pinnedLink(pin, program));
	expect(await daemon.logged(/pins were missing/)).toMatchObject({ names: [program] });
	await daemon.until(() => existsSync(pinnedLink(pin, program)) || undefined);
	expect(pinned(links(pin)).get(program)).toEqual(before);
	await readiness(daemon, 200);
	expect([await isAttached(daemon, program), await lost(daemon, program), await lost(daemon, 'pins')]).toEqual([
		1n,
		0n,
		1n,
	]);
}

describe('fexit', () => {
	const program = 'toascope_accept';

	it('its link cannot be detached; a pin that is removed is restored with the same link', async () => {
		await using daemon = await Daemon.start({ config: config(`bpf: {pin: ${pin}}`, 'on_exit: detach') });
		expect(await daemon.logged(/^attached/)).toMatchObject({ accept: 'fexit' });
		await expectLinkStays(daemon, program);
	});

	it('switched-off functions are logged and counted, and the daemon is not ready until they are on', async () => {
		/**
		 * How the daemon observed the accept() of a new connection; Stage's probes pass an address
		 * buffer to accept().
		 */
		const seen = async (daemon: Daemon) => {
			await using connection = await stage.connect('AF_INET', 'nat64');
			const { address, port: peerPort } = connection.accepted;
			const [found] = await lookUpUntil(daemon, `${address}:${peerPort}`, ([first]) => first !== undefined);
			return found?.seen;
		};
		await using daemon = await Daemon.start({ config: config() });
		const before = await seen(daemon);
		writeFileSync(ftrace, '0');
		expect(await daemon.logged(/^programs are switched off/)).toMatchObject({
			level: 50,
			why: 'kernel.ftrace_enabled is 0',
		});
		expect(await readiness(daemon, 503)).toEqual(['programs_switched_off']);
		expect(await isAttached(daemon, program)).toBe(0n);
		const off = await seen(daemon);
		writeFileSync(ftrace, '1');
		await readiness(daemon, 200);
		expect([await isAttached(daemon, program), await lost(daemon, program)]).toEqual([1n, 1n]);
		// the reported state is the actual one
		expect([before, off, await seen(daemon)]).toEqual(['fexit', null, 'fexit']);
		expect(daemon.log.filter(({ msg }) => /attached again|were detached/.test(msg))).toEqual([]);
	});

	it('a daemon that starts while they are off uses getpeername', async () => {
		writeFileSync(ftrace, '0');
		await using daemon = await Daemon.start({ config: config() });
		expect(await daemon.logged(/^attached/)).toMatchObject({ accept: 'getpeername' });
		await readiness(daemon, 200);
	});
});

describe.skipIf(!hasModule)('toa.ko', () => {
	const counters = () => readFileSync('/proc/net/toa_counters', 'utf8');
	const module = (...more: string[]) => config('provider: module', ...more);

	const built = buildDirectory(release());

	beforeAll(async () => {
		// the daemon loads an earlier build again: building takes minutes in a guest
		copySources(built);
		copyFileSync(moduleFile(), join(built, 'toa.ko'));
		await loadToa();
	});
	afterAll(async () => {
		await unloadToa();
		rmSync(built, { recursive: true });
	});

	it('links on its tracepoints cannot be detached, nor can it be unloaded; pins are restored', async () => {
		await using daemon = await Daemon.start({ config: module(`bpf: {pin: ${pin}}`, 'on_exit: detach') });
		for (const program of modulePrograms.slice(0, 1)) await expectLinkStays(daemon, program);
		expect(spawnSync('rmmod', ['toa'], { encoding: 'utf8' }).stderr).toMatch(/in use/);
		expect(await answer()).toBe(0);
		await readiness(daemon, 200);
		expect(await lost(daemon, 'module')).toBe(0n);
	});

	it('parameters that others change are restored, logged and counted', async () => {
		await using daemon = await Daemon.start({ config: module('trust: [10.99.0.0/16]') });
		expect(await answer()).toBe(-1);
		writeFileSync(trust, '\n');
		expect(await daemon.logged(/parameters of toa\.ko were changed/)).toMatchObject({ level: 40, found: 'trust=' });
		expect(readFileSync(trust, 'utf8')).toBe('10.99.0.0/16\n');
		expect(await answer()).toBe(-1);
		expect(await lost(daemon, 'module_parameters')).toBe(1n);
		await readiness(daemon, 200);
	});

	it('switched-off probes are logged and counted, and the daemon is not ready until they are on', async () => {
		await using daemon = await Daemon.start({ config: module() });
		writeFileSync(ftrace, '0');
		expect(await daemon.logged(/probes of toa\.ko are switched off/)).toMatchObject({ level: 50 });
		expect(await readiness(daemon, 503)).toContain('module_switched_off');
		const repaired = () => /^repaired (\d+)$/m.exec(counters())?.[1];
		const before = repaired();
		await answer();
		// the reported state is the actual one
		expect(repaired()).not.toBe(before);
		writeFileSync(ftrace, '1');
		await readiness(daemon, 200);
		expect(await answer()).toBe(0);
		expect(await lost(daemon, 'module_probes')).toBe(1n);
	});

	describe('where BPF is refused, so that no link holds it', () => {
		const through = inMountNamespace(unmountAll('cgroup2'));
		const startWithoutBpf = (...more: string[]) =>
			Daemon.start({ config: module('trust: ["100.64.0.0/10"]', ...more), through });

		it('an unload by others is logged and counted; it is loaded again with the configuration', async () => {
			await using daemon = await startWithoutBpf();
			expect(await daemon.logged(/toa\.ko answers only/)).toMatchObject({ level: 40 });
			await readiness(daemon, 200);
			execFileSync('rmmod', ['toa']);
			expect(await daemon.logged(/toa\.ko was unloaded/)).toMatchObject({ level: 50, found: 'not loaded' });
			const loads = () => daemon.log.filter(({ msg }) => /^toa\.ko is loaded/.test(msg)).length;
			await daemon.until(() => loads() === 2 || undefined);
			await readiness(daemon, 200);
			expect(readFileSync(trust, 'utf8')).toBe('100.64.0.0/10\n');
			expect(await lost(daemon, 'module')).toBe(1n);
		});

		it('an unload and a load with other parameters is noticed, and the configuration is applied', async () => {
			await using daemon = await startWithoutBpf();
			daemon.child.kill('SIGSTOP');
			execFileSync('rmmod', ['toa']);
			execFileSync('insmod', [moduleFile()]);
			daemon.child.kill('SIGCONT');
			await daemon.logged(/toa\.ko was unloaded/);
			await daemon.until(() => readFileSync(trust, 'utf8') === '100.64.0.0/10\n' || undefined);
			await readiness(daemon, 200);
			expect(await lost(daemon, 'module')).toBe(1n);
			// the daemon holds the lock on the module that is loaded now
			expect(() => native().lock('/sys/module/toa')).not.toThrow();
			expect(native().lock('/sys/module/toa')).toBe(-1);
		});
	});
});
