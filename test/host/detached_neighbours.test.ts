// SPDX-License-Identifier: Apache-2.0
/**
 * Other programs on the same sockets: those of another daemon with another trust, and those that a
 * daemon left with pins that no path reaches.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { readiness } from '../kit/daemon/readiness.ts';
import { attachedAt } from '../kit/kernel/bpf_objects.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(2);
const config = (cgroup: string, ...more: string[]) =>
	[`cgroup: ${cgroup}`, `listeners: {ports: [${port}]}`, ...more].join('\n');

let cgroups: Cgroups;
beforeAll(() => {
	cgroups = Cgroups.open();
});
afterAll(async () => {
	await cgroups?.[Symbol.asyncDispose]();
});

interface Finding {
	readonly name: string;
	readonly state: string;
	readonly found: string;
	readonly advice?: string;
}

/**
 * The doctor's findings of this name with the daemon's configuration. Only those about cgroups of
 * this test: other daemons can be attached above.
 */
async function doctor(daemon: Daemon, name: string): Promise<Finding[]> {
	const { out } = await toascope(['doctor', '--json', '--config', daemon.configFile]);
	const { checks } = JSON.parse(out) as { checks: Finding[] };
	return checks.filter((check) => check.name === name && (name === 'attached' || check.found.includes(cgroups.root)));
}

/** Log lines about other daemons at the cgroups of this test. */
const linesOn = (daemon: Daemon) =>
	daemon.log.filter(({ msg, ['cgroup']: at }) => /another toascope/.test(msg) && String(at).startsWith(cgroups.root));

async function lineOn(daemon: Daemon, cgroup: string, message: RegExp) {
	// all of these lines follow the one about the start
	await daemon.until(
		() => daemon.log.some(({ msg, ['cgroup']: at }) => message.test(msg) && at === cgroup) || undefined,
	);
	return daemon.log.find(({ msg, ['cgroup']: at }) => message.test(msg) && at === cgroup);
}

test('another daemon above, with another trust: reported when the second one starts, and by the doctor', async () => {
	const [above, below] = [cgroups.make('above'), cgroups.make('above/below')];
	await using first = await Daemon.start({ config: config(above, 'trust: [192.0.2.0/24, "2001:db8::/32"]') });
	await using second = await Daemon.start({ config: config(below, 'trust: [192.0.2.0/24]') });
	const theirs = { cgroup: above, pids: [first.child.pid], trust: ['192.0.2.0/24', '2001:db8::/32'] };
	expect(await lineOn(second, above, /another toascope with/)).toMatchObject({ level: 40, ...theirs });
	expect(linesOn(first)).toEqual([]);
	const found = await doctor(second, 'other_daemon');
	expect(found).toMatchObject([{ state: 'warn' }]);
	expect(found[0]?.found).toContain(
		`(pid ${first.child.pid}) is attached at ${above}; it trusts 192.0.2.0/24, 2001:db8::/32`,
	);
	// the doctor of the daemon above finds the one below, too
	expect(await doctor(first, 'other_daemon')).toMatchObject([{ state: 'warn' }]);
	expect(await doctor(first, 'attached')).toMatchObject([{ state: 'ok' }]);
});

test('another daemon with the same trust is not a problem', async () => {
	const [above, below] = [cgroups.make('alike'), cgroups.make('alike/below')];
	await using _first = await Daemon.start({ config: config(above, 'trust: [192.0.2.0/24]') });
	await using second = await Daemon.start({ config: config(below, 'trust: [192.0.2.0/24]') });
	expect(await doctor(second, 'other_daemon')).toMatchObject([{ state: 'ok' }]);
	expect(linesOn(second)).toEqual([]);
});

test('another daemon that watches other ports is not a problem', async () => {
	const [above, below] = [cgroups.make('ports'), cgroups.make('ports/below')];
	const others = config(above, 'trust: [192.0.2.0/24]').replace(String(port), String(port + 1));
	await using _first = await Daemon.start({ config: others });
	await using second = await Daemon.start({ config: config(below) });
	expect(await doctor(second, 'other_daemon')).toEqual([]);
	expect(linesOn(second)).toEqual([]);
});

test('programs whose pins no path reaches: the doctor lists them, and the next daemon logs them', async () => {
	const cgroup = cgroups.make('hidden');
	// its pins are on a bpffs in a mount namespace that exists as long as this process
	const script = 'mount -t bpf -o mode=0700 bpf /sys/fs/bpf && echo mounted && exec sleep infinity';
	const holder: ChildProcess = spawn('unshare', ['--mount', 'sh', '-c', script], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	try {
		await once(holder.stdout as NonNullable<ChildProcess['stdout']>, 'data');
		const through = ['nsenter', '--mount', `--target=${holder.pid}`, '--'];
		const pinned = 'bpf: {pin: /sys/fs/bpf/toascope}';
		{
			await using left = await Daemon.start({ config: config(cgroup, pinned, 'on_exit: keep'), through });
			expect(await left.stop()).toBe(0);
		}
		expect(attachedAt(cgroup)).toContain('toascope_sockops');
		await using daemon = await Daemon.start({ config: config(cgroup) });
		expect(await lineOn(daemon, cgroup, /no longer running/)).toMatchObject({ level: 40, cgroup, trust: [] });
		const [found] = await doctor(daemon, 'left_behind');
		expect(found?.state).toBe('warn');
		expect(found?.found).toMatch(/toascope_sockop \(id \d+\)/);
	} finally {
		const ended = once(holder, 'exit');
		holder.kill('SIGKILL');
		await ended;
	}
});

test('programs that a daemon should have attached and has not: the doctor reports a failure', async () => {
	const cgroup = cgroups.make('gone');
	await using daemon = await Daemon.start({ config: config(cgroup) });
	rmdirSync(cgroup);
	await readiness(daemon, 503);
	const [found] = await doctor(daemon, 'attached');
	expect(found?.state).toBe('fail');
	expect(found?.found).toContain('toascope_sockops');
});
