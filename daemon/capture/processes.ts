// SPDX-License-Identifier: Apache-2.0
/** The processes that this one sees, and their descriptors: proc(5). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** `/proc`, or what stands for it. Each throws as node:fs does. */
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
	/** Its directory below `/proc`. It may be gone at any time, or refuse to be read. */
	readonly directory: string;
}

/** Throws where `/proc` cannot be read: no answer is not "none". */
export function processes({ list }: ProcFiles = procFiles, root = '/proc'): Process[] {
	return list(root)
		.filter((name) => /^\d+$/.test(name))
		.map((name) => ({ pid: Number(name), directory: join(root, name) }));
}

/** Runs a step that may throw since the process is gone, or refuses it; then the answer is `otherwise`. */
export type Attempt = <T>(step: () => T, otherwise: T) => T;

/** For those who need not know why. */
export const attempt: Attempt = (step, otherwise) => {
	try {
		return step();
	} catch {
		return otherwise;
	}
};

/** Its open descriptors, each with what readlink(2) says of it. */
export function* descriptors(
	{ directory }: Process,
	tried: Attempt = attempt,
	{ list, link }: ProcFiles = procFiles,
): Generator<{ readonly fd: string; readonly target: string }> {
	const fds = join(directory, 'fd');
	for (const fd of tried(() => list(fds), [])) yield { fd, target: tried(() => link(join(fds, fd)), '') };
}
