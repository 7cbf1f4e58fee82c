// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon's lifetime: it stops quickly and leaves nothing behind, however it ends and wherever
 * its start fails.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Pins } from '../../daemon/capture/pinning/pins.ts';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import { hasEnded } from '../../daemon/lab/process.ts';
import { native } from '../../native/binding.ts';
import { type CommandResult, toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { allGone, attachedAt, freeze, kernelObjectsOf, mounts } from '../kit/kernel/bpf_objects.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const pinDirectory = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(1);
const narrowed = `listeners: {ports: [${port}]}`;

let mountsBefore: string[] = [];
beforeEach(() => {
	mountsBefore = mounts();
});
afterEach(() => {
	expect(mounts()).toEqual(mountsBefore);
	expect(existsSync(pinDirectory)).toBe(false);
});

/**
 * The kernel objects of a running daemon. There must be enough of them for the test to be
 * meaningful.
 */
function objectsOf(daemon: Daemon) {
	const found = kernelObjectsOf(daemon.child.pid ?? 0);
	expect(found.programs.length).toBeGreaterThanOrEqual(8);
	expect(found.maps.length).toBeGreaterThanOrEqual(13);
	expect(found.links.length).toBeGreaterThanOrEqual(5);
	return found;
}

describe.each([
	['nothing pinned', 'off'],
	['pins', pinDirectory],
])('%s', (_what, pin) => {
	test.each(['SIGTERM', 'SIGINT'] as const)('%s: exit code 0, nothing is left', async (signal) => {
		await using daemon = await Daemon.start({ config: `${narrowed}\nbpf: {pin: ${pin}}` });
		const before = objectsOf(daemon);
		expect(existsSync(pinDirectory)).toBe(pin !== 'off');
		const ended = once(daemon.child, 'exit');
		daemon.child.kill(signal);
		await ended;
		expect(daemon.child.exitCode).toBe(0);
		expect(daemon.log.filter(({ level }) => level >= 50)).toEqual([]);
		expect(existsSync(daemon.socket)).toBe(false);
		await allGone(before);
	});
});

test('SIGTERM ends the daemon and nothing is left, even if the kernel refuses an operation', async () => {
	await using daemon = await Daemon.start({ config: `${narrowed}\notel: {endpoint: "http://127.0.0.1:1"}` });
	const before = objectsOf(daemon);
	freeze(before.maps, 'settings');
	const ended = once(daemon.child, 'exit');
	daemon.child.kill('SIGTERM');
	await ended;
	expect(daemon.child.exitCode).toBe(1);
	expect(daemon.log.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/^toascope: .*settings/));
	await allGone(before);
});

test('SIGTERM ends the daemon within 2 s, with open connections, waiting scrapers and a collector that does not respond', async () => {
	await using lab = await Lab.open({ routes: [{ listenPort: 80, backendPort: port, profile: 'nat64' }] });
	await lab.echoServer({ port });
	const client = await lab.client();
	// accepts connections and never responds
	await using collector = createServer((socket) => socket.resume().on('error', () => {}));
	collector.listen(0, '127.0.0.1');
	await once(collector, 'listening');
	const address = collector.address();
	if (typeof address !== 'object' || address === null) throw new Error('no address');
	await using daemon = await Daemon.start({
		config: narrowed,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${address.port}`, OTEL_BSP_SCHEDULE_DELAY: '100' },
	});
	const connected = once(collector, 'connection');
	const results = await client.run({ from: '2001:db8:c::1', clients: 50, count: 200, to: nat64Server, port: 80 });
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	await client.run({ from: '2001:db8:c::1', clients: 50, to: nat64Server, port: 80, hold: true });
	await connected;
	await daemon.metrics();
	const before = objectsOf(daemon);

	const ended = once(daemon.child, 'exit').then(() => 'ended');
	const deadline = new Promise((resolve) => setTimeout(resolve, scaleTimeout(2000), 'still running'));
	const began = performance.now();
	daemon.child.kill('SIGTERM');
	expect(await Promise.race([ended, deadline])).toBe('ended');
	console.log(`stopped in ${Math.round(performance.now() - began)} ms`);
	expect(daemon.child.exitCode).toBe(0);
	await allGone(before);
});

test('further signals do not interrupt the shutdown, to the last moment', async () => {
	await using daemon = await Daemon.start({ config: `${narrowed}\nbpf: {pin: ${pinDirectory}}` });
	const before = objectsOf(daemon);
	const ended = once(daemon.child, 'exit');
	daemon.child.kill('SIGINT');
	while (!hasEnded(daemon.child)) {
		daemon.child.kill('SIGTERM');
		daemon.child.kill('SIGHUP');
		await yieldLoop();
	}
	await ended;
	expect(daemon.child.exitCode).toBe(0);
	await allGone(before);
});

describe('a start that fails leaves nothing behind', () => {
	const root = findCgroup2(readMounts()) ?? '';
	const cgroup = join(root, `toascope-test-${process.pid}`);
	let directory = '';

	beforeEach(() => {
		directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		mkdirSync(cgroup);
	});
	afterEach(() => {
		rmdirSync(cgroup);
		rmSync(directory, { recursive: true });
	});

	/** Runs a daemon on the test's own cgroup, where no other program is attached. */
	async function run(config: string): Promise<CommandResult> {
		const file = join(directory, 'toascope.yaml');
		const defaults = [
			/^cgroup:/m.test(config) ? '' : `cgroup: ${cgroup}`,
			/^http:/m.test(config) ? '' : `http: {listen: "127.0.0.1:0", socket: ${directory}/toascope.sock}`,
			'log: {format: json}',
		];
		writeFileSync(file, [config, narrowed, ...defaults, ''].join('\n'));
		const ended = await toascope(['run', '--config', file]);
		expect(attachedAt(cgroup)).toEqual([]);
		return ended;
	}

	const pins = [
		['nothing pinned', 'bpf: {pin: off}'],
		['pins', `bpf: {pin: ${pinDirectory}}`],
	] as const;

	test.each(pins)('the Unix socket is in use (%s)', async (_what, bpf) => {
		const socket = `${directory}/toascope.sock`;
		await using taken = createServer().listen(socket);
		await once(taken, 'listening');
		const { code, err } = await run(bpf);
		expect(err).toContain(`another toascope is listening on ${socket} [ALREADY_RUNNING]`);
		expect(code).toBe(1);
		expect(existsSync(socket)).toBe(true);
	});

	test.each(pins)('the cgroup is not a directory of cgroup v2 (%s)', async (_what, bpf) => {
		const { code, err } = await run(`cgroup: /tmp\n${bpf}`);
		expect(err).toContain('cgroup: /tmp is not a cgroup v2 directory [CONFIG_INVALID]');
		expect(code).toBe(2);
	});

	test('pins outside bpffs', async () => {
		const { code, err } = await run(`bpf: {pin: ${directory}/pins}`);
		expect(err).toContain('is not on a bpffs [NO_BPFFS]');
		expect(code).toBe(3);
	});

	test('pins in the mount point of bpffs, among those of other programs', async () => {
		const message = 'bpf.pin: /sys/fs/bpf is itself a bpffs mount, where other programs pin too';
		const { code, err } = await run('bpf: {pin: /sys/fs/bpf/}');
		expect(err).toContain(`${message} [CONFIG_INVALID]`);
		expect(code).toBe(2);
		// with the provider `module` this is checked before anything is written to the module
		expect(() => Pins.requireFree(native(), '/sys/fs/bpf')).toThrow(message);
	});

	test('an endpoint that is not a URL', async () => {
		const { code, err } = await run(`otel: {endpoint: "nonsense", spans: on}\nbpf: {pin: ${pinDirectory}}`);
		expect(err).toContain('[CONFIG_INVALID]');
		expect(code).toBe(2);
	});

	test('another toascope has the pins: the error names its pid, and its state is unchanged', async () => {
		await using first = await Daemon.start({ config: `${narrowed}\nbpf: {pin: ${pinDirectory}}` });
		const before = objectsOf(first);
		const { code, err } = await run(`bpf: {pin: ${pinDirectory}}`);
		expect(err).toContain(`another toascope (pid ${first.child.pid}) is using ${pinDirectory} [ALREADY_RUNNING]`);
		expect(code).toBe(1);
		expect(kernelObjectsOf(first.child.pid ?? 0)).toEqual(before);
		expect(existsSync(join(pinDirectory, `v${constant.TOASCOPE_LAYOUT}`))).toBe(true);
		expect(await (await fetch(`${first.url}/readyz`)).text()).toBe('ready\n');
	});
});
