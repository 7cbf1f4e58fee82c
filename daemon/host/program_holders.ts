// SPDX-License-Identifier: Apache-2.0
/** Finds the processes that have descriptors of BPF programs: proc(5), fd and fdinfo. */
import { join } from 'node:path';
import { type Attempt, descriptors, type ProcFiles, processes, procFiles } from './processes.ts';

/** Process ids for each program. */
export interface Holders {
	/**
	 * Undefined: unknown, because some process could not be inspected and none of the others has a
	 * descriptor of the program.
	 */
	of(program: number): readonly number[] | undefined;
}

/** Whether a descriptor with this readlink(2) target has a `prog_id` in its fdinfo. */
const hasProgram = (target: string) => /^anon_inode:\[?bpf[-_](prog|link)\]?$/.test(target);

/** Errors of a process that denies access; with any other error it, or its descriptor, is gone. */
const accessErrors = ['EACCES', 'EPERM'];

/**
 * Must run in the host's pid namespace (pid_namespace.ts). Yields after each process, because a
 * host has thousands of processes, with thousands of descriptors each.
 */
export function* findHolders(programs: ReadonlySet<number>, proc: ProcFiles = procFiles): Generator<void, Holders> {
	const holders = new Map<number, number[]>();
	let complete = true;
	const attemptStep: Attempt = (step, fallback) => {
		try {
			return step();
		} catch (error) {
			if (accessErrors.includes((error as NodeJS.ErrnoException).code ?? '')) complete = false;
			return fallback;
		}
	};
	for (const process of processes(proc)) {
		const { pid, directory } = process;
		// the host's init and kernel threads (no command line) are not daemons: access that they
		// deny leaves the result complete
		if (pid === 1 || attemptStep(() => proc.text(join(directory, 'cmdline')), '') === '') continue;
		for (const { fd, target } of descriptors(process, attemptStep, proc)) {
			if (!hasProgram(target)) continue;
			const info = attemptStep(() => proc.text(join(directory, 'fdinfo', fd)), '');
			const id = Number(/^prog_id:\s*(\d+)/m.exec(info)?.[1]);
			const pids = holders.get(id) ?? [];
			if (programs.has(id) && pids.at(-1) !== pid) holders.set(id, [...pids, pid]);
		}
		yield;
	}
	return { of: (program) => holders.get(program) ?? (complete ? [] : undefined) };
}
