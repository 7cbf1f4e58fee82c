// SPDX-License-Identifier: Apache-2.0
/** The container of a process, from the text of /proc/PID/cgroup. */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CgroupPaths } from '../../../../daemon/model/cgroup_paths.ts';
import { createContainerResolver, parseContainerId } from '../../../../daemon/model/container.ts';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);

describe('parseContainerId', () => {
	it.each([
		['docker, systemd driver', `0::/system.slice/docker-${A}.scope\n`, A],
		['docker, cgroupfs driver', `0::/docker/${A}\n`, A],
		['docker, an init system inside', `0::/system.slice/docker-${A}.scope/init.scope\n`, A],
		['containerd in Kubernetes', `0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-${A}.scope\n`, A],
		['containerd, colons', `0::/system.slice/kubepods-besteffort-pod1.slice:cri-containerd:${A}\n`, A],
		['Kubernetes, cgroupfs driver', `0::/kubepods/burstable/pod7d2c/${A}\n`, A],
		['CRI-O', `0::/kubepods.slice/kubepods-pod1.slice/crio-${A}.scope/container\n`, A],
		['podman', `0::/machine.slice/libpod-${A}.scope/container\n`, A],
		['podman, rootless', `0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${A}.scope\n`, A],
		['podman, cgroupfs driver', `0::/libpod_parent/libpod-${A}\n`, A],
		['nested: the innermost', `0::/docker/${A}/kubelet/kubepods/pod1/cri-containerd-${B}.scope\n`, B],
		['cgroup v1', `12:pids:/docker/${A}\n1:name=systemd:/docker/${A}\n0::/system.slice/docker.service\n`, A],
		['the monitor of a container', `0::/machine.slice/libpod-conmon-${A}.scope\n`, undefined],
		['a service', '0::/system.slice/nginx.service\n', undefined],
		['the root', '0::/\n', undefined],
		['an id cut short', `0::/docker/${A.slice(1)}\n`, undefined],
		['nothing', '', undefined],
	])('%s', (_name, text, id) => {
		expect(parseContainerId(text)).toBe(id);
	});
});

describe('createContainerResolver', () => {
	let procRoot: string;
	const owner = (pid: number, cgroupId: bigint) => ({ by: 'accept', pid, comm: 'x', cgroupId }) as const;
	const process = (pid: number, text: string) => {
		mkdirSync(join(procRoot, String(pid)), { recursive: true });
		writeFileSync(join(procRoot, String(pid), 'cgroup'), text);
	};

	beforeAll(() => {
		procRoot = mkdtempSync(join(tmpdir(), 'toascope-proc-'));
	});
	afterAll(() => rmSync(procRoot, { recursive: true }));

	it('remembers by cgroup, after the process has ended and for its siblings', () => {
		const resolve = createContainerResolver({ procRoot });
		process(10, `0::/docker/${A}\n`);
		expect(resolve(owner(10, 5n))).toBe(A);
		rmSync(join(procRoot, '10'), { recursive: true });
		expect(resolve(owner(10, 5n))).toBe(A);
		expect(resolve(owner(11, 5n))).toBe(A);
		expect(resolve(owner(11, 6n))).toBeUndefined();
		process(11, `0::/docker/${B}\n`);
		expect(resolve(owner(11, 6n))).toBe(B);
	});

	it('takes no process of another cgroup for the owner, and after the close reads none', () => {
		const cgroupIdOf = (path: string) => (path === `/docker/${A}` ? 7n : 8n);
		const resolve = createContainerResolver({ procRoot, cgroupIdOf });
		// the pid of a process of container A is now one of container B
		process(12, `0::/docker/${B}\n`);
		expect(resolve(owner(12, 7n))).toBeUndefined();
		expect(resolve.known(owner(12, 7n))).toBeUndefined();
		process(12, `0::/docker/${A}\n`);
		expect(resolve.known(owner(12, 7n))).toBeUndefined();
		expect(resolve(owner(12, 7n))).toBe(A);
		expect(resolve.known(owner(99, 7n))).toBe(A);
	});

	it('does not remember where one cgroup v2 holds many containers, nor an unknown cgroup', () => {
		const resolve = createContainerResolver({ procRoot });
		process(20, `3:cpu:/docker/${A}\n0::/\n`);
		process(21, `3:cpu:/docker/${B}\n0::/\n`);
		expect([resolve(owner(20, 1n)), resolve(owner(21, 1n))]).toEqual([A, B]);
		process(22, `0::/docker/${A}\n`);
		process(23, `0::/docker/${B}\n`);
		expect([resolve(owner(22, 0n)), resolve(owner(23, 0n))]).toEqual([A, B]);
	});

	it("uses the cgroup instead of the process where process ids are not the kernel's", () => {
		const root = mkdtempSync(join(tmpdir(), 'toascope-cgroup-'));
		try {
			const made = [`system.slice/docker-${A}.scope/init.scope`, 'system.slice/nginx.service'].map((path) => {
				const directory = join(root, path);
				mkdirSync(directory, { recursive: true });
				return statSync(directory, { bigint: true }).ino;
			});
			const [contained = 0n, plain = 0n] = made;
			// in this /proc, another process has the same id
			process(40, `0::/docker/${B}\n`);
			const resolve = createContainerResolver({ procRoot, cgroups: new CgroupPaths(root) });
			expect([contained, plain, 1n, 0n].map((id) => resolve(owner(40, id)))).toEqual([
				A,
				undefined,
				undefined,
				undefined,
			]);
			// a cgroup that does not exist yet has no path
			expect(new CgroupPaths(join(root, 'none')).of(contained)).toBeUndefined();
		} finally {
			rmSync(root, { recursive: true });
		}
	});

	it('forgets the least recently used cgroup', () => {
		const resolve = createContainerResolver({ procRoot, capacity: 2 });
		for (const pid of [31, 32, 33]) process(pid, `0::/docker/${A}\n`);
		resolve(owner(31, 31n));
		resolve(owner(32, 32n));
		resolve(owner(31, 31n));
		resolve(owner(33, 33n));
		for (const pid of [31, 32, 33]) rmSync(join(procRoot, String(pid)), { recursive: true });
		expect([31n, 32n, 33n].map((id) => resolve(owner(Number(id), id)))).toEqual([A, undefined, A]);
	});
});
