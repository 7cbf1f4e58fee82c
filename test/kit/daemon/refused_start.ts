// SPDX-License-Identifier: Apache-2.0
/**
 * Runs of the daemon that must fail to start. They use a cgroup, a pin directory and a directory of
 * their own, and each must leave nothing behind there.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { type ErrorCode, errorCodes } from '../../../daemon/errors.ts';
import { findCgroup2, readMounts } from '../../../daemon/host/mounts.ts';
import { attachedAt, mounts } from '../kernel/bpf_objects.ts';
import { somePorts } from '../wire/toa_stage.ts';
import { type CommandResult, toascope } from './command.ts';

export const bpffs = '/sys/fs/bpf';
export const pins = `${bpffs}/toascope-test-${process.pid}`;
export const root = findCgroup2(readMounts()) ?? '';
/** The tests' own cgroup, where no other program is attached. */
export const cgroup = join(root, `toascope-test-${process.pid}`);
export const port = somePorts(1);

/** The directory of the current test. */
export let directory = '';

/**
 * Gives each test of the file a fresh cgroup and directory, and expects it to leave nothing behind.
 */
export function expectNothingLeft(): void {
	let before: readonly string[] = [];
	beforeEach(() => {
		directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		chmodSync(directory, 0o777);
		mkdirSync(cgroup);
		before = mounts();
	});
	afterEach(() => {
		const leftovers = {
			attached: attachedAt(cgroup),
			mounts: mounts(),
			pins: existsSync(pins),
			files: readdirSync(directory).filter((name) => name !== 'toascope.yaml'),
		};
		// first the directory, whose removal cannot fail: rmdir fails for a cgroup that still
		// contains a process, and the files must not remain then
		rmSync(directory, { recursive: true });
		rmdirSync(cgroup);
		expect(leftovers).toEqual({ attached: [], mounts: before, pins: false, files: [] });
	});
}

/**
 * Writes a configuration of `lines`, with defaults for the other keys that a run needs here.
 * Returns the path of the file.
 */
export function configuration(...lines: string[]): string {
	const text = lines.join('\n');
	const has = (key: string) => new RegExp(`^${key}:`, 'm').test(text);
	const file = join(directory, 'toascope.yaml');
	const rest = [
		...(has('cgroup') ? [] : [`cgroup: ${cgroup}`]),
		...(has('http') ? [] : [`http: {listen: "127.0.0.1:0", socket: ${directory}/run/toascope.sock}`]),
		...(has('bpf') ? [] : [`bpf: {pin: ${pins}}`]),
		...(has('listeners') ? [] : [`listeners: {ports: [${port}]}`]),
		'log: {format: json}',
		'',
	];
	writeFileSync(file, [text, ...rest].join('\n'));
	chmodSync(file, 0o644);
	return file;
}

/** The configuration of a daemon on the tests' own cgroup. */
export const own = (pin = pins) => `cgroup: ${cgroup}\nlisteners: {ports: [${port}]}\nbpf: {pin: ${pin}}`;

/** Runs `toascope run` with these lines. `by` is the command, with arguments, that starts it. */
export const run = (lines: readonly string[], by: readonly string[] = []): Promise<CommandResult> =>
	toascope(['run', '--config', configuration(...lines)], { by });

/** Expects exactly two lines on standard error: what is wrong, and what to do. */
export function expectRefusal(
	{ code, out, err }: CommandResult,
	error: ErrorCode,
	message: string | RegExp,
	hint: string | RegExp,
): void {
	const [first = '', second = '', ...rest] = err.split('\n');
	expect(rest, err).toEqual(['']);
	expect(first.startsWith('toascope: ') && first.endsWith(` [${error}]`), err).toBe(true);
	expect(first).toMatch(message);
	expect(second).toMatch(/^ {2}\S/);
	expect(second).toMatch(hint);
	expect({ code, out }).toEqual({ code: errorCodes[error].exit, out: '' });
}

/**
 * Runs `toascope run` with these lines, and stops it when it logs that HTTP cannot listen. Expects
 * that it started nevertheless and logged this error.
 */
export async function expectStartWithoutHttp(
	lines: readonly string[],
	by: readonly string[],
	error: ErrorCode,
	message: string,
	hint: string,
): Promise<void> {
	const { code, err } = await toascope(['run', '--config', configuration(...lines)], {
		by,
		when: { output: 'HTTP cannot listen', act: (child) => child.kill() },
	});
	const logged = err.split('\n').filter((line) => line.includes('HTTP cannot listen'));
	expect(logged.map((line) => JSON.parse(line))).toMatchObject([
		{
			level: 'error',
			err: { code: error, message: expect.stringContaining(message), hint: expect.stringContaining(hint) },
		},
	]);
	expect(err).toContain('"msg":"attached: ');
	expect(err).toContain('"msg":"stopped: ');
	expect(code).toBe(0);
}
