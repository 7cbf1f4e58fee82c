// SPDX-License-Identifier: Apache-2.0
/** Where cgroup v2 and bpffs are mounted: proc(5), /proc/self/mountinfo. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Mount {
	readonly point: string;
	readonly type: string;
	readonly readOnly: boolean;
}

/** Parses the text of mountinfo, and resolves its octal escapes (`\040`). */
export function parseMounts(text: string): Mount[] {
	return text
		.split('\n')
		.filter((line) => line !== '')
		.map((line) => {
			const [before = '', after = ''] = line.split(' - ', 2);
			const fields = before.split(' ');
			const point = unescapeMount(fields[4] ?? '');
			return { point, type: after.split(' ')[0] ?? '', readOnly: (fields[5] ?? '').split(',').includes('ro') };
		});
}

/** Resolves the octal escapes (`\040`) of a field of mountinfo. */
export function unescapeMount(field: string): string {
	return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export function readMounts(): Mount[] {
	return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The root of cgroup v2; in a hybrid setup it is below that of cgroup v1. */
export function findCgroup2(mounts: readonly Mount[]): string | undefined {
	return mounts.find((mount) => mount.type === 'cgroup2')?.point;
}

/** Whether a path is in a cgroup v2 mount. */
export function isCgroup2(mounts: readonly Mount[], path: string): boolean {
	return mounts.some(({ type, point }) => type === 'cgroup2' && (path === point || path.startsWith(`${point}/`)));
}

/**
 * Whether a directory of cgroup v2 is the root for the whole host. In a container it can be the
 * container's own cgroup: only the root has no `cgroup.events` (kernel,
 * Documentation/admin-guide/cgroup-v2.rst).
 */
export function isRootCgroup(path: string): boolean {
	return !existsSync(join(path, 'cgroup.events'));
}

/**
 * The bpffs mount that contains `path`: the innermost one, and of several on one mount point the
 * last, which hides the others.
 */
export function findBpffs(mounts: readonly Mount[], path: string): Mount | undefined {
	return mounts
		.filter(({ point, type }) => type === 'bpf' && (path === point || path.startsWith(`${point}/`)))
		.sort((a, b) => a.point.length - b.point.length)
		.at(-1);
}
