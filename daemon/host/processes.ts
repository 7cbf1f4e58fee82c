// SPDX-License-Identifier: Apache-2.0
/** The processes that are visible to this one, and their descriptors: proc(5). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Reads `/proc`, or a substitute for it in tests. Each function throws as node:fs does. */
export interface ProcFiles {
	list(path: string): string[];
	link(path: string): string;
	text(path: string): string;
}

export const procFiles: ProcFiles = {
	list: readdirSync,
	link: readlinkSync,
	text: (path) => readFileSync(path, 'utf8'),
};

export interface Process {
	readonly pid: number;
	/** Its directory below `/proc`, which can disappear at any time or be unreadable. */
	readonly directory: string;
}

/** Throws if `/proc` cannot be read, because that does not mean that there are no processes. */
export function processes({ list }: ProcFiles = procFiles, root = '/proc'): Process[] {
	return list(root)
		.filter((name) => /^\d+$/.test(name))
		.map((name) => ({ pid: Number(name), directory: join(root, name) }));
}

/**
 * Runs a step that can throw because the process is gone or denies access, and returns `fallback`
 * in that case.
 */
export type Attempt = <T>(step: () => T, fallback: T) => T;

/** For callers that do not need the reason. */
export const attempt: Attempt = (step, fallback) => {
	try {
		return step();
	} catch {
		return fallback;
	}
};

/** The open descriptors of a process, each with the target that readlink(2) returns for it. */
export function* descriptors(
	{ directory }: Process,
	attemptStep: Attempt = attempt,
	{ list, link }: ProcFiles = procFiles,
): Generator<{ readonly fd: string; readonly target: string }> {
	const fds = join(directory, 'fd');
	for (const fd of attemptStep(() => list(fds), [])) yield { fd, target: attemptStep(() => link(join(fds, fd)), '') };
}
