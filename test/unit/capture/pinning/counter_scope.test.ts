// SPDX-License-Identifier: Apache-2.0
/** Which pinned counters a daemon adopts: by the cgroup's path or an earlier version's scope. */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { counterScope, isScope } from '../../../../daemon/capture/pinning/counter_scope.ts';
import type { ServedCgroup } from '../../../../daemon/capture/served_cgroup.ts';

const cgroup = (path: string, id: bigint | undefined) => ({ path, id, wholeHost: false }) as ServedCgroup;
/** The scope as versions pinned it that used the cgroup's id. */
const byId = (id: bigint, prefix4: number, prefix6: number) => (id << 16n) | BigInt((prefix4 << 8) | prefix6);
/** The scope as layout 6 pinned it. */
const byPrefixes = (prefix4: number, prefix6: number, path: string) =>
	createHash('sha256').update([prefix4, prefix6, path].join('\n')).digest().readBigUInt64LE() | (1n << 63n);

it('is the same for a cgroup that was created again at its path', () => {
	const scope = counterScope(cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, cgroup('/sys/fs/cgroup/web.service', 4712n))).toBe(true);
	expect(isScope(scope, cgroup('/sys/fs/cgroup/web.service/', undefined))).toBe(true);
});

it('differs for another path', () => {
	const scope = counterScope(cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, cgroup('/sys/fs/cgroup/mail.service', 4711n))).toBe(false);
});

it('accepts a scope that an earlier version derived from the id and any prefixes, while the cgroup is the same', () => {
	const here = cgroup('/sys/fs/cgroup/web.service', 4711n);
	expect(isScope(byId(4711n, 32, 128), here)).toBe(true);
	expect(isScope(byId(4711n, 24, 64), here)).toBe(true);
	expect(isScope(byId(4712n, 32, 128), here)).toBe(false);
});

it('accepts a scope that an earlier version derived from the path and any prefixes', () => {
	const path = '/sys/fs/cgroup/web.service';
	expect(isScope(byPrefixes(32, 128, path), cgroup(path, 4711n))).toBe(true);
	expect(isScope(byPrefixes(24, 56, path), cgroup(path, 4711n))).toBe(true);
	expect(isScope(byPrefixes(32, 128, '/sys/fs/cgroup/mail.service'), cgroup(path, 4711n))).toBe(false);
});

it('an inode number is never mistaken for a path', () => {
	// Half of all hashes have this bit: eight unmarked ones would all have it once in 256 runs.
	const scopes = Array.from({ length: 8 }, (_, at) => counterScope(cgroup(`/sys/fs/cgroup/${at}`, undefined)));
	expect(scopes.map((scope) => scope >> 63n)).toEqual(scopes.map(() => 1n));
	expect(byId(2n ** 47n - 1n, 32, 128) >> 63n).toBe(0n);
});

it('a scope of 0 (nothing pinned) matches every cgroup', () => {
	expect(isScope(0n, cgroup('/sys/fs/cgroup/web.service', undefined))).toBe(true);
});
