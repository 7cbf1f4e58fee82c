// SPDX-License-Identifier: Apache-2.0
/** Which processes have descriptors of BPF programs: proc(5), fd and fdinfo. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Processes by program. */
export interface Holders {
	/** Undefined: not known, since a process could not be looked at and none that could has it. */
	of(program: number): readonly number[] | undefined;
}

/** `/proc`, or what stands for it. */
export interface ProcFiles {
	list(path: string): string[];
	link(path: string): string;
	text(path: string): string;
}

const procFiles: ProcFiles = { list: readdirSync, link: readlinkSync, text: (path) => readFileSync(path, 'utf8') };

/** What readlink(2) says of descriptors that fdinfo has a `prog_id` for. */
const hasProgram = (target: string) => /^anon_inode:\[?bpf[-_](prog|link)\]?$/.test(target);

/** Errors that say that a process may not be looked at; others say that it, or its descriptor, is gone. */
const refusals = ['EACCES', 'EPERM'];

/** In the host's pid namespace (pid_namespace.ts). Yields after each process: a host has thousands of them, with thousands of descriptors each. */
export function* findHolders(programs: ReadonlySet<number>, proc: ProcFiles = procFiles): Generator<void, Holders> {
	const holders = new Map<number, number[]>();
	let complete = true;
	const tried = <T>(step: () => T, otherwise: T): T => {
		try {
			return step();
		} catch (error) {
			if (refusals.includes((error as NodeJS.ErrnoException).code ?? '')) complete = false;
			return otherwise;
		}
	};
	for (const pid of proc.list('/proc').filter((name) => /^\d+$/.test(name))) {
		const directory = join('/proc', pid);
		// neither the host's init nor kernel threads, which have no command line, are daemons: that they refuse means nothing
		if (pid === '1' || tried(() => proc.text(join(directory, 'cmdline')), '') === '') continue;
		for (const fd of tried(() => proc.list(join(directory, 'fd')), [])) {
			if (!hasProgram(tried(() => proc.link(join(directory, 'fd', fd)), ''))) continue;
			const info = tried(() => proc.text(join(directory, 'fdinfo', fd)), '');
			const id = Number(/^prog_id:\s*(\d+)/m.exec(info)?.[1]);
			const pids = holders.get(id) ?? [];
			if (programs.has(id) && pids.at(-1) !== Number(pid)) holders.set(id, [...pids, Number(pid)]);
		}
		yield;
	}
	return { of: (program) => holders.get(program) ?? (complete ? [] : undefined) };
}
