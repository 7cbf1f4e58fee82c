// SPDX-License-Identifier: Apache-2.0
/** Where cgroup v2 and bpffs are, from the text of /proc/self/mountinfo. */
import { expect, it } from 'vitest';
import { findBpffs, findCgroup2, parseMounts } from '../../../daemon/host/mounts.ts';
import { mountedNamespaces } from '../../../daemon/host/namespaces.ts';

const hybrid = `
22 28 0:20 / /proc rw,nosuid,nodev shared:12 - proc proc rw
30 29 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,size=4096k
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/cpu rw shared:11 master:3 - cgroup cgroup rw,cpu
`;

it('finds cgroup v2 in a hybrid set-up', () => {
	expect(findCgroup2(parseMounts(hybrid))).toBe('/sys/fs/cgroup/unified');
});

it('finds cgroup v2 where systemd mounts it', () => {
	const text = '35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw\n';
	expect(findCgroup2(parseMounts(text))).toBe('/sys/fs/cgroup');
});

it('finds no cgroup v2 where it is not mounted', () => {
	expect(findCgroup2(parseMounts('22 28 0:20 / /proc rw - proc proc rw\n'))).toBeUndefined();
	expect(findCgroup2(parseMounts(''))).toBeUndefined();
});

it('reads escapes, any number of optional fields, and which mounts are read-only', () => {
	const text = [
		'40 24 0:31 / /mnt/with\\040space\\011tab\\134 rw,noatime shared:1 master:2 propagate_from:3 - bpf bpf rw,mode=700',
		'41 24 0:32 / /mnt/a\\040-\\040b ro - ext4 /dev/sda1 rw',
		'42 24 0:33 / /mnt/error rw,errors=remount-ro - ext4 /dev/sda1 rw',
	].join('\n');
	expect(parseMounts(text)).toEqual([
		{ point: '/mnt/with space\ttab\\', type: 'bpf', readOnly: false },
		{ point: '/mnt/a - b', type: 'ext4', readOnly: true },
		{ point: '/mnt/error', type: 'ext4', readOnly: false },
	]);
});

it('finds the innermost bpffs that contains a path, and compares whole names', () => {
	const mounts = parseMounts(
		[
			'50 24 0:40 / /sys/fs/bpf rw - bpf bpf rw',
			'51 50 0:41 / /sys/fs/bpf/inner ro - bpf bpf rw',
			'52 24 0:42 / /run/bpf rw - tmpfs tmpfs rw',
		].join('\n'),
	);
	expect(findBpffs(mounts, '/sys/fs/bpf/toascope')?.point).toBe('/sys/fs/bpf');
	expect(findBpffs(mounts, '/sys/fs/bpf')?.point).toBe('/sys/fs/bpf');
	expect(findBpffs(mounts, '/sys/fs/bpf/inner/toascope')).toMatchObject({
		point: '/sys/fs/bpf/inner',
		readOnly: true,
	});
	expect(findBpffs(mounts, '/sys/fs/bpf/innermost')?.point).toBe('/sys/fs/bpf');
	expect(findBpffs(mounts, '/sys/fs/bpfs')).toBeUndefined();
	expect(findBpffs(mounts, '/run/bpf/toascope')).toBeUndefined();
});

it('uses the topmost of two mounts at the same path', () => {
	const mounts = parseMounts(
		['50 24 0:40 / /sys/fs/bpf ro - bpf bpf rw', '51 50 0:41 / /sys/fs/bpf rw - bpf bpf rw'].join('\n'),
	);
	expect(findBpffs(mounts, '/sys/fs/bpf/toascope')?.readOnly).toBe(false);
});

it('finds the network namespaces that are mounted, and no others', () => {
	const text = [
		'50 24 0:4 net:[4026532200] /run/netns/a\\040b rw shared:1 - nsfs nsfs rw',
		'51 24 0:4 mnt:[4026532201] /run/snapd/ns/x.mnt rw - nsfs nsfs rw',
		'52 24 0:26 / /run/netns rw shared:1 - tmpfs tmpfs rw',
	].join('\n');
	expect(mountedNamespaces(text)).toEqual([{ inode: 4026532200, path: '/run/netns/a b' }]);
});
