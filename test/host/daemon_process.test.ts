// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon's process as seen from outside: its name, the signals that must not end it, and the
 * messages of Node.js.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Daemon } from '../kit/daemon/daemon.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

/** Makes Node.js emit a warning at SIGWINCH, a signal that the daemon does not use. */
const warns = atWindowChange('process.emitWarning("odd", { code: "ODD" })');

/** An environment in which a process runs this statement at SIGWINCH. */
function atWindowChange(statement: string): { readonly NODE_OPTIONS: string } {
	const code = encodeURIComponent(`process.on("SIGWINCH", () => { ${statement}; })`);
	return { NODE_OPTIONS: `--import data:text/javascript,${code}` };
}

let daemon: Daemon;
beforeAll(async () => {
	daemon = await Daemon.start({
		config: `listeners: {ports: [${somePorts(1)}]}`,
		env: warns,
	});
});
afterAll(() => daemon?.stop());

/** Local ports on which the process listens, over IPv4 and IPv6. */
function listening(pid: number): number[] {
	const inodes = new Set(
		readdirSync(`/proc/${pid}/fd`).map((fd) => {
			try {
				return /^socket:\[(\d+)\]$/.exec(readlinkSync(join(`/proc/${pid}/fd`, fd)))?.[1];
			} catch {
				return undefined;
			}
		}),
	);
	return ['tcp', 'tcp6'].flatMap((file) =>
		readFileSync(`/proc/${pid}/net/${file}`, 'utf8')
			.split('\n')
			.slice(1)
			.map((line) => line.trim().split(/\s+/))
			.filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.has(inode))
			.map(([, local = '']) => Number.parseInt(local.split(':').at(-1) ?? '', 16)),
	);
}

test('pgrep finds the daemon by its name, and ps shows its arguments', () => {
	const { pid } = daemon.child;
	expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('toascope\n');
	expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')).toContain('run');
});

test('SIGUSR1 opens no debugger, and is logged', async () => {
	const pid = daemon.child.pid ?? 0;
	const before = listening(pid);
	expect(before).toHaveLength(1);
	daemon.child.kill('SIGUSR1');
	expect(await daemon.logged(/^a signal is ignored/)).toMatchObject({ signal: 'SIGUSR1' });
	expect(listening(pid)).toEqual(before);
});

test.each(['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGIO', 'SIGPWR', 'SIGSTKFLT', 'SIGXCPU', 'SIGXFSZ'] as const)(
	'%s does not end the daemon, and is logged',
	async (signal) => {
		const from = daemon.log.length;
		daemon.child.kill(signal);
		expect(await daemon.logged(/^a signal is ignored/, from)).toMatchObject({ signal });
		expect((await fetch(`${daemon.url}/healthz`)).status).toBe(200);
	},
);

test('a warning of Node.js is a line of the log', async () => {
	daemon.child.kill('SIGWINCH');
	expect(await daemon.logged(/^Node.js emitted a warning/)).toMatchObject({
		err: { name: 'Warning', message: 'odd', code: 'ODD' },
	});
	expect(daemon.log.filter(({ level }) => level === 0)).toEqual([]);
});

test('SIGQUIT stops the daemon like SIGTERM', async () => {
	expect(await daemon.stop('SIGQUIT')).toBe(0);
	expect(daemon.log.at(-1)?.msg).toBe('stopped: detached');
});

test('an uncaught error is a line of the log, and then the daemon exits', async () => {
	const config = `listeners: {ports: [${somePorts(1)}]}`;
	await using other = await Daemon.start({ config, env: atWindowChange('throw new RangeError("odd")') });
	const ended = once(other.child, 'exit');
	other.child.kill('SIGWINCH');
	expect(await ended).toEqual([1, null]);
	expect(other.log.at(-1)).toMatchObject({
		level: 50,
		msg: 'internal error: the daemon exits',
		err: { type: 'RangeError', message: 'odd', stack: expect.any(String) },
	});
	expect(other.log.filter(({ level }) => level === 0)).toEqual([]);
});
