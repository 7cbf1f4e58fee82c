// SPDX-License-Identifier: Apache-2.0
/** Which pinned counters a daemon may go on with: by the cgroup's path, and as versions before had it. */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { counterScope, isScope } from '../../daemon/capture/foundation.ts';
import type { ServedCgroup } from '../../daemon/capture/served_cgroup.ts';

const cgroup = (path: string, id: bigint | undefined) => ({ path, id, wholeHost: false }) as ServedCgroup;
/** As pinned by versions that went by the cgroup's id. */
const byId = (id: bigint, prefix4: number, prefix6: number) => (id << 16n) | BigInt((prefix4 << 8) | prefix6);
/** As pinned by layout 6. */
const byPrefixes = (prefix4: number, prefix6: number, path: string) =>
	createHash('sha256').update([prefix4, prefix6, path].join('\n')).digest().readBigUInt64LE() | (1n << 63n);

it('is the same for a cgroup that was made again at its path', () => {
	const scope = counterScope(cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, cgroup('/sys/fs/cgroup/web.service', 4712n))).toBe(true);
	expect(isScope(scope, cgroup('/sys/fs/cgroup/web.service/', undefined))).toBe(true);
});

it('is another for another path', () => {
	const scope = counterScope(cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, cgroup('/sys/fs/cgroup/mail.service', 4711n))).toBe(false);
});

it('takes what a version before had pinned by the id, while the cgroup is the same one, and whatever its prefixes', () => {
	const here = cgroup('/sys/fs/cgroup/web.service', 4711n);
	expect(isScope(byId(4711n, 32, 128), here)).toBe(true);
	expect(isScope(byId(4711n, 24, 64), here)).toBe(true);
	expect(isScope(byId(4712n, 32, 128), here)).toBe(false);
});

it('takes what a version before had pinned by the path and the prefixes, whichever they were', () => {
	const path = '/sys/fs/cgroup/web.service';
	expect(isScope(byPrefixes(32, 128, path), cgroup(path, 4711n))).toBe(true);
	expect(isScope(byPrefixes(24, 56, path), cgroup(path, 4711n))).toBe(true);
	expect(isScope(byPrefixes(32, 128, '/sys/fs/cgroup/mail.service'), cgroup(path, 4711n))).toBe(false);
});

it('no number of an inode is taken for a path', () => {
	// a hash has this bit or not: eight without the mark would all have it one time in 256
	const scopes = Array.from({ length: 8 }, (_, at) => counterScope(cgroup(`/sys/fs/cgroup/${at}`, undefined)));
	expect(scopes.map((scope) => scope >> 63n)).toEqual(scopes.map(() => 1n));
	expect(byId(2n ** 47n - 1n, 32, 128) >> 63n).toBe(0n);
});

it('nothing pinned fits all', () => {
	expect(isScope(0n, cgroup('/sys/fs/cgroup/web.service', undefined))).toBe(true);
});
