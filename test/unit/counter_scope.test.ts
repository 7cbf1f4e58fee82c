// SPDX-License-Identifier: Apache-2.0
/** Which pinned counters a daemon may go on with: by the cgroup's path and the prefixes, and as versions before had it. */
import { expect, it } from 'vitest';
import { counterScope, isScope } from '../../daemon/capture/foundation.ts';
import type { ServedCgroup } from '../../daemon/capture/served_cgroup.ts';
import type { Config } from '../../daemon/config/config.ts';
import { defaultConfig } from '../../daemon/config/load.ts';

const base = defaultConfig();
const cgroup = (path: string, id: bigint | undefined) => ({ path, id, wholeHost: false }) as ServedCgroup;
const prefixes = (prefix4: number, prefix6: number): Config => ({
	...base,
	clients: { ...base.clients, prefix4, prefix6 },
});
/** As pinned by versions that went by the cgroup's id. */
const byId = (id: bigint, prefix4: number, prefix6: number) => (id << 16n) | BigInt((prefix4 << 8) | prefix6);

it('is the same for a cgroup that was made again at its path', () => {
	const scope = counterScope(base, cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, base, cgroup('/sys/fs/cgroup/web.service', 4712n))).toBe(true);
	expect(isScope(scope, base, cgroup('/sys/fs/cgroup/web.service/', undefined))).toBe(true);
});

it('is another for another path, and for other prefixes', () => {
	const scope = counterScope(base, cgroup('/sys/fs/cgroup/web.service', 4711n));
	expect(isScope(scope, base, cgroup('/sys/fs/cgroup/mail.service', 4711n))).toBe(false);
	expect(isScope(scope, prefixes(24, 128), cgroup('/sys/fs/cgroup/web.service', 4711n))).toBe(false);
	expect(isScope(scope, prefixes(32, 64), cgroup('/sys/fs/cgroup/web.service', 4711n))).toBe(false);
});

it('takes what a version before had pinned by the id, while the cgroup is the same one', () => {
	const here = cgroup('/sys/fs/cgroup/web.service', 4711n);
	expect(isScope(byId(4711n, 32, 128), base, here)).toBe(true);
	expect(isScope(byId(4712n, 32, 128), base, here)).toBe(false);
	expect(isScope(byId(4711n, 32, 64), base, here)).toBe(false);
});

it('no number of an inode is taken for a path', () => {
	// a hash has this bit or not: eight without the mark would all have it one time in 256
	const scopes = Array.from({ length: 8 }, (_, at) => counterScope(base, cgroup(`/sys/fs/cgroup/${at}`, undefined)));
	expect(scopes.map((scope) => scope >> 63n)).toEqual(scopes.map(() => 1n));
	expect(byId(2n ** 47n - 1n, 32, 128) >> 63n).toBe(0n);
});

it('nothing pinned fits all', () => {
	expect(isScope(0n, base, cgroup('/sys/fs/cgroup/web.service', undefined))).toBe(true);
});
