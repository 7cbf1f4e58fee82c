// SPDX-License-Identifier: Apache-2.0
/**
 * Pins that other processes remove or hide, and paths that other users own: the daemon logs this,
 * pins again, and leaves no program attached because of it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { constant } from '../../daemon/capture/records/layout.gen.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { readiness } from '../kit/daemon/readiness.ts';
import {
	bpffs,
	cgroup,
	configuration,
	expectNothingLeft,
	expectRefusal,
	own,
	pins,
} from '../kit/daemon/refused_start.ts';
import { inMountNamespace } from '../kit/daemon/restricted_process.ts';
import { attachedAt } from '../kit/kernel/bpf_objects.ts';
import { total } from '../kit/telemetry/metrics.ts';

expectNothingLeft();

const layout = join(pins, `v${constant.TOASCOPE_LAYOUT}`);
const lost = async (daemon: Daemon) =>
	total(await daemon.metrics(), 'toascope_attachments_lost_total', { attachment: 'pins' });

/** Runs a command in the mount namespace of the daemon. */
const inside = ({ child }: Daemon, ...command: string[]) =>
	execFileSync('nsenter', ['--mount', `--target=${child.pid}`, ...command]);

describe('pins that another process removes', () => {
	test.each([
		['a link', [join(layout, 'links/toascope_sockops')]],
		['a map', [join(layout, 'maps/clients')]],
		['the whole directory', [pins]],
		['the directory of the layout', [layout]],
	])('%s: it is pinned again, and the next daemon adopts it', async (_what, paths) => {
		await using first = await Daemon.start({ config: `${own()}\non_exit: keep` });
		const attached = attachedAt(cgroup);
		for (const path of paths) rmSync(path, { recursive: true });
		expect(await first.logged(/pins were missing/)).toMatchObject({ level: 40, pins: layout });
		for (const path of paths) expect(existsSync(path)).toBe(true);
		expect(await lost(first)).toBe(1n);
		await readiness(first, 200);
		expect(await first.stop()).toBe(0);
		expect(attachedAt(cgroup)).toEqual(attached);

		await using second = await Daemon.start({ config: own() });
		expect(await second.logged(/^attached/)).toMatchObject({ adopted: true });
		expect(second.log.filter(({ msg }) => /from zero/.test(msg))).toEqual([]);
		expect(await second.stop()).toBe(0);
	});
});

describe('a second bpffs mounted over the first', () => {
	test('is noticed, and the daemon is ready again when it is unmounted', async () => {
		await using daemon = await Daemon.start({ config: own(), through: inMountNamespace('true') });
		inside(daemon, 'mount', '-t', 'bpf', 'bpf', bpffs);
		expect(await daemon.logged(/cannot be reached by its path/)).toMatchObject({ level: 50, pins: layout });
		expect(await readiness(daemon, 503)).toEqual(['pins_missing']);
		inside(daemon, 'umount', bpffs);
		await daemon.logged(/can be reached again/);
		await readiness(daemon, 200);
		expect(await lost(daemon)).toBe(1n);
	});

	test('does not prevent a stop from detaching and from removing the pins', async () => {
		await using daemon = await Daemon.start({ config: own(), through: inMountNamespace('true') });
		expect(attachedAt(cgroup)).not.toEqual([]);
		inside(daemon, 'mount', '-t', 'bpf', 'bpf', bpffs);
		await daemon.logged(/cannot be reached by its path/);
		expect(await daemon.stop()).toBe(0);
		expect(attachedAt(cgroup)).toEqual([]);
		expect(existsSync(pins)).toBe(false);
	});
});

test('a stop with on_exit: keep says that pins cannot be reached', async () => {
	{
		await using first = await Daemon.start({ config: `${own()}\non_exit: keep`, through: inMountNamespace('true') });
		inside(first, 'mount', '-t', 'bpf', 'bpf', bpffs);
		await first.logged(/cannot be reached by its path/);
		expect(await first.stop()).toBe(0);
		const line = await first.logged(/^stopped: not everything stays attached/);
		expect(line).toMatchObject({ level: 40, not_kept: [expect.stringContaining(`${layout} is hidden`)] });
	}
	await using second = await Daemon.start({ config: own() });
	expect(await second.stop()).toBe(0);
});

describe('a bpffs that every user can write to', () => {
	const asNobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups --';
	const open = (...commands: string[]) => inMountNamespace(['mount -t bpf bpf /sys/fs/bpf', ...commands].join('\n'));

	test('is reported by a warning', async () => {
		await using daemon = await Daemon.start({ config: own(), through: open() });
		expect(await daemon.logged(/other users can write to the bpffs/)).toMatchObject({ mount: bpffs, mode: '1777' });
	});

	test.each([
		['an empty directory', `mkdir ${pins}`, undefined],
		['a directory with something in it', `mkdir -p ${layout}`, expect.stringMatching(/-of-65534-\w+$/)],
		['a symbolic link', `ln -s /tmp ${pins}`, expect.stringMatching(/-of-65534-\w+$/)],
	])('%s of another user there does not block a start', async (_what, command, to) => {
		await using daemon = await Daemon.start({ config: own(), through: open(`${asNobody} ${command}`) });
		const line = await daemon.logged(/directory of another user/);
		expect(line).toMatchObject({ level: 40, path: pins, uid: 65534 });
		expect(line['to']).toEqual(to);
		expect(await daemon.stop()).toBe(0);
	});

	test('does not allow other users to rename the pins', async () => {
		await using daemon = await Daemon.start({ config: own(), through: open() });
		expect(() => inside(daemon, ...asNobody.split(' '), 'mv', pins, `${pins}-other`)).toThrow(/not permitted/);
		expect(await daemon.stop()).toBe(0);
	});
});

describe('a start is refused, and says what to do, if the directory', () => {
	const mounted = 'mount -t bpf -o mode=0755 bpf /sys/fs/bpf';
	const start = (...commands: string[]) =>
		toascope(['run', '--config', configuration()], { by: inMountNamespace([mounted, ...commands].join('\n')) });

	test('is on a bpffs that every user can write to, without the sticky bit', async () => {
		const ended = await start(`chmod 0777 ${bpffs}`);
		expectRefusal(ended, 'NO_BPFFS', `${bpffs} is writable by every user`, `chmod 0700 ${bpffs}`);
	});

	test('is on a bpffs of another user', async () => {
		const ended = await start(`chown 65534 ${bpffs}`);
		expectRefusal(ended, 'NO_BPFFS', `${bpffs} belongs to user 65534`, `chown root:root ${bpffs}`);
	});

	test('belongs to another user', async () => {
		const ended = await start(`mkdir ${pins}`, `chown 65534 ${pins}`);
		expectRefusal(ended, 'NO_BPFFS', `${pins} belongs to user 65534`, `rm -r ${pins}`);
	});

	test('is in a directory that belongs to another user', async () => {
		const below = configuration(`bpf: {pin: ${pins}/a/b}`);
		const by = inMountNamespace([mounted, `mkdir -p ${pins}/a`, `chown 65534 ${pins}/a`].join('\n'));
		expectRefusal(
			await toascope(['run', '--config', below], { by }),
			'NO_BPFFS',
			`${pins}/a belongs to user 65534`,
			'rm',
		);
	});

	test('is writable by others', async () => {
		const ended = await start(`mkdir -m 0777 ${pins}`);
		expectRefusal(ended, 'NO_BPFFS', `${pins} is writable by other users (mode 0777)`, `chmod 0700 ${pins}`);
	});

	test('of the layout is writable by others', async () => {
		const ended = await start(`mkdir -m 0700 ${pins}`, `mkdir -m 0770 ${layout}`);
		expectRefusal(ended, 'NO_BPFFS', `${layout} is writable by other users (mode 0770)`, `chmod 0700 ${layout}`);
	});
});
