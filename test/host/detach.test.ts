// SPDX-License-Identifier: Apache-2.0
/** A service keeps its programs attached while it restarts, and `toascope detach` detaches them. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { network } from '../../daemon/lab/lab.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { asNobody, inMountNamespace, unusable } from '../kit/daemon/restricted_process.ts';
import { unitEnvironment } from '../kit/daemon/unit_environment.ts';
import { attachedAt } from '../kit/kernel/bpf_objects.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { clientAddress, isGateway, Stage, somePorts } from '../kit/wire/toa_stage.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(2);
const listener = `${network.server}:${port + 1}`;
const cgroup = join(findCgroup2(readMounts()) ?? '', `toascope-test-${process.pid}`);
let directory = '';

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	chmodSync(directory, 0o755);
	mkdirSync(cgroup);
});
afterEach(() => {
	rmSync(directory, { recursive: true });
	rmdirSync(cgroup);
	expect(existsSync(pin)).toBe(false);
});

function file(...lines: string[]): string {
	const path = join(directory, 'toascope.yaml');
	writeFileSync(
		path,
		[`bpf: {pin: ${pin}}`, `cgroup: ${cgroup}`, `listeners: {ports: [${port}]}`, ...lines, ''].join('\n'),
	);
	return path;
}

const detach = (path: string, by: readonly string[] = []) => toascope(['detach', '--config', path], { by });

test('a service restarts: an open connection keeps its client, and counters continue, until detach', async () => {
	const config = `bpf: {pin: ${pin}}\nlisteners: {ports: [${port + 1}]}\ntransparent: on`;
	const counts = (daemon: Daemon, opened: bigint, closed: bigint) =>
		daemon.until((samples) => {
			const of = (what: string) => total(samples, `toascope_connections_${what}_total`, { listener });
			return (of('opened') === opened && of('closed') === closed) || undefined;
		});
	await using stage = await Stage.open(port);
	await using first = await Daemon.start({ config, env: unitEnvironment });
	const held = await stage.connect('AF_INET6 dual-stack', 'nat64');
	await counts(first, 1n, 0n);
	/** What the application sees: getpeername(), and whether getsockopt(4096) answers. */
	const seen = async () => ({
		peer: (await held.probe.getpeername()).address,
		error: (await held.probe.getsockopt(0, 4096, 20)).error,
	});
	const client = { peer: clientAddress, error: '' };
	expect(await seen()).toEqual(client);
	expect(await first.stop()).toBe(0);
	expect(await seen()).toEqual(client);

	await using second = await Daemon.start({ config, env: unitEnvironment });
	await counts(second, 1n, 0n);
	expect(await seen()).toEqual(client);
	const path = join(directory, 'toascope.yaml');
	writeFileSync(path, `${config}\n`);
	const refused = await detach(path);
	expect(refused).toMatchObject({
		code: 1,
		out: '',
		err: expect.stringMatching(/another toascope .* \[ALREADY_RUNNING\]/),
	});
	expect(await seen()).toEqual(client);
	expect(await second.stop()).toBe(0);

	const done = await detach(path);
	expect(done).toMatchObject({
		code: 0,
		err: '',
		out: expect.stringMatching(/^detached .*toascope_sockops.* removed\n$/),
	});
	const { peer, error } = await seen();
	// EINVAL comes from another daemon on this machine
	expect({ gateway: isGateway(peer), error }).toEqual({
		gateway: true,
		error: expect.stringMatching(/^(ENOPROTOOPT|EINVAL)$/),
	});
	await held[Symbol.asyncDispose]();
});

test('detach where nothing is attached', async () => {
	expect(await detach(file())).toEqual({ code: 0, err: '', out: `nothing to detach: ${pin} does not exist\n` });
	mkdirSync(pin);
	expect(await detach(file())).toEqual({ code: 0, err: '', out: `nothing was attached; ${pin} is removed\n` });
	const path = file();
	writeFileSync(path, 'bpf: {pin: off}\n');
	expect(await detach(path)).toMatchObject({ code: 0, out: expect.stringContaining('bpf.pin is off') });
});

test('detach after a kill, with a profile that is expected on the SYN', async () => {
	const lines = `bpf: {pin: ${pin}}\ncgroup: ${cgroup}\nlisteners: {ports: [${port}]}\nprofiles: [cdn4]`;
	await using daemon = await Daemon.start({ config: lines });
	expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
	expect(attachedAt(cgroup)).toContain('toascope_sockops');
	const path = file();
	writeFileSync(path, `${lines}\nlog: {format: json}\n`);
	expect(await detach(path)).toMatchObject({ code: 0, out: expect.stringContaining('toascope_sockops') });
	expect(attachedAt(cgroup)).toEqual([]);
});

test('detach where the programs cannot be loaded: listeners still save SYNs, and the pins are removed', async () => {
	const lines = `bpf: {pin: ${pin}}\ncgroup: ${cgroup}\nlisteners: {ports: [${port}]}\nprofiles: [cdn4]`;
	await using daemon = await Daemon.start({ config: lines });
	expect(await daemon.stop('SIGKILL')).toBe('SIGKILL');
	expect(attachedAt(cgroup)).toContain('toascope_sockops');
	const path = file();
	writeFileSync(path, `${lines}\nlog: {format: json}\n`);
	const { code, out, err } = await detach(path, inMountNamespace('mount -t tmpfs none /sys/kernel/btf'));
	expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('toascope_sockops') });
	const warnings = err.trim().split('\n');
	expect(warnings.map((line) => JSON.parse(line))).toEqual([
		expect.objectContaining({
			level: 'warn',
			msg: expect.stringContaining('save the SYNs'),
			err: expect.objectContaining({ code: 'NO_BTF' }),
		}),
	]);
	expect(attachedAt(cgroup)).toEqual([]);
});

test('detach by a user without permission', async ({ skip }) => {
	const reason = unusable(asNobody());
	skip(reason !== undefined, reason);
	mkdirSync(pin, { mode: 0o700 });
	try {
		expect(await detach(file(), asNobody())).toMatchObject({ code: 3, err: expect.stringContaining('[NO_PRIVILEGE]') });
	} finally {
		rmdirSync(pin);
	}
});
