// SPDX-License-Identifier: Apache-2.0
/**
 * Prefixes that run a command as on a host that lacks something, for `by` of toascope(). They
 * change nothing outside of that command.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scaleTimeout } from '../timeouts.ts';
import { main } from './daemon.ts';

/**
 * Runs the command in a new mount namespace, after the shell script `setup`. The shell script
 * `after` runs when the command has ended.
 */
export function inMountNamespace(setup: string, after = ''): string[] {
	const end = after === '' ? 'exec "$@"' : `"$@"; code=$?; ${after}; exit $code`;
	return ['unshare', '--mount', 'sh', '-ec', `${setup}\nset +e\n${end}`, 'sh'];
}

/**
 * A shell script that unmounts all file systems of this type in this mount namespace, wherever and
 * however many they are, the latest first.
 */
export function unmountAll(type: 'bpf' | 'cgroup2'): string {
	const latest = `awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "${type}") last = $5 } END { print last }' /proc/self/mountinfo`;
	return `while at=$(${latest}) && [ -n "$at" ]; do umount "$(printf %b "$at")"; done`;
}

/** Runs the command as root, but without these capabilities. */
export function without(...names: string[]): string[] {
	const list = names.map((name) => `-${name}`).join(',');
	return ['setpriv', `--bounding-set=${list}`, `--inh-caps=${list}`];
}

/** Runs the command as the user nobody with only these capabilities. */
export function asNobody(...names: string[]): string[] {
	const list = ['-all', ...names.map((name) => `+${name}`)].join(',');
	return [
		'setpriv',
		'--reuid=65534',
		'--regid=65534',
		'--clear-groups',
		`--inh-caps=${list}`,
		`--ambient-caps=${list}`,
	];
}

/** Runs the command as root of a new user namespace. */
export const inUserNamespace = ['unshare', '--user', '--map-root-user'];

/** Returns why `by` cannot run node on this source tree; undefined if it can. */
export function unusable(by: readonly string[]): string | undefined {
	const [command = '', ...rest] = by;
	const { status, stderr, error } = spawnSync(command, [...rest, process.execPath, '--check', main], {
		encoding: 'utf8',
	});
	return status === 0
		? undefined
		: `${by[0]} cannot run node here: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
}

/**
 * Limits memory, including the kernel memory charged to it, to this many bytes: a cgroup of the
 * memory controller, which must be disposed.
 */
export class MemoryLimit implements Disposable {
	readonly by: readonly string[];
	readonly #group: string;

	/** The root of the memory controller, of cgroup v1 or v2; undefined where there is none. */
	static readonly root = [
		{ path: '/sys/fs/cgroup/memory', file: 'memory.limit_in_bytes' },
		{ path: '/sys/fs/cgroup', file: 'memory.max' },
	].find(({ path, file }) =>
		file === 'memory.max'
			? existsSync(join(path, 'cgroup.subtree_control')) &&
				readFileSync(join(path, 'cgroup.subtree_control'), 'utf8').includes('memory')
			: existsSync(join(path, file)),
	);

	constructor(bytes: number) {
		const { path = '', file = '' } = MemoryLimit.root ?? {};
		this.#group = join(path, `toascope-test-${process.pid}`);
		mkdirSync(this.#group);
		writeFileSync(join(this.#group, file), String(bytes));
		this.by = ['sh', '-ec', `echo $$ > ${this.#group}/cgroup.procs; exec "$@"`, 'sh'];
	}

	[Symbol.dispose](): void {
		// a process that has just ended stays in the cgroup for a moment
		execFileSync('sh', ['-c', `until rmdir ${this.#group} 2>/dev/null; do :; done`], { timeout: scaleTimeout(10_000) });
		if (existsSync(this.#group)) rmdirSync(this.#group);
	}
}
