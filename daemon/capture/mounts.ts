// SPDX-License-Identifier: Apache-2.0
/** Where cgroup v2 and bpffs are mounted: proc(5), /proc/self/mountinfo. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Mount {
	readonly point: string;
	readonly type: string;
	readonly readOnly: boolean;
}

/** Reads the text of mountinfo; octal escapes (`\040`) are resolved. */
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

/** A field of mountinfo, its octal escapes (`\040`) resolved. */
export function unescapeMount(field: string): string {
	return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export function readMounts(): Mount[] {
	return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The root of cgroup v2; a hybrid set-up has it below cgroup v1's. */
export function findCgroup2(mounts: readonly Mount[]): string | undefined {
	return mounts.find((mount) => mount.type === 'cgroup2')?.point;
}

/** Whether a path is in a cgroup v2 mount. */
export function isCgroup2(mounts: readonly Mount[], path: string): boolean {
	return mounts.some(({ type, point }) => type === 'cgroup2' && (path === point || path.startsWith(`${point}/`)));
}

/**
 * Whether a directory of cgroup v2 is the whole host's. In a container it may be the container's own: the root alone
 * has no `cgroup.events` (kernel, Documentation/admin-guide/cgroup-v2.rst).
 */
export function isRootCgroup(path: string): boolean {
	return !existsSync(join(path, 'cgroup.events'));
}

/** The bpffs mount that holds `path`: the innermost, and of several at one place the last, which hides the others. */
export function findBpffs(mounts: readonly Mount[], path: string): Mount | undefined {
	return mounts
		.filter(({ point, type }) => type === 'bpf' && (path === point || path.startsWith(`${point}/`)))
		.sort((a, b) => a.point.length - b.point.length)
		.at(-1);
}
