// SPDX-License-Identifier: Apache-2.0
/** Which processes have descriptors of BPF programs: proc(5), fd and fdinfo. */
import { join } from 'node:path';
import { type Attempt, descriptors, type ProcFiles, processes, procFiles } from './processes.ts';

/** Processes by program. */
export interface Holders {
	/** Undefined: not known, since a process could not be looked at and none that could has it. */
	of(program: number): readonly number[] | undefined;
}

/** What readlink(2) says of descriptors that fdinfo has a `prog_id` for. */
const hasProgram = (target: string) => /^anon_inode:\[?bpf[-_](prog|link)\]?$/.test(target);

/** Errors that say that a process may not be looked at; others say that it, or its descriptor, is gone. */
const refusals = ['EACCES', 'EPERM'];

/** In the host's pid namespace (pid_namespace.ts). Yields after each process: a host has thousands of them, with thousands of descriptors each. */
export function* findHolders(programs: ReadonlySet<number>, proc: ProcFiles = procFiles): Generator<void, Holders> {
	const holders = new Map<number, number[]>();
	let complete = true;
	const tried: Attempt = (step, otherwise) => {
		try {
			return step();
		} catch (error) {
			if (refusals.includes((error as NodeJS.ErrnoException).code ?? '')) complete = false;
			return otherwise;
		}
	};
	for (const process of processes(proc)) {
		const { pid, directory } = process;
		// neither the host's init nor kernel threads, which have no command line, are daemons: that they refuse means nothing
		if (pid === 1 || tried(() => proc.text(join(directory, 'cmdline')), '') === '') continue;
		for (const { fd, target } of descriptors(process, tried, proc)) {
			if (!hasProgram(target)) continue;
			const info = tried(() => proc.text(join(directory, 'fdinfo', fd)), '');
			const id = Number(/^prog_id:\s*(\d+)/m.exec(info)?.[1]);
			const pids = holders.get(id) ?? [];
			if (programs.has(id) && pids.at(-1) !== pid) holders.set(id, [...pids, pid]);
		}
		yield;
	}
	return { of: (program) => holders.get(program) ?? (complete ? [] : undefined) };
}
