// SPDX-License-Identifier: Apache-2.0
/** Which container a process runs in, from its cgroup. */
import { readFileSync } from 'node:fs';
import type { Owner } from './connection.ts';

/** Containers remembered; the one not asked for longest goes first. */
const CAPACITY = 4096;
/** For so long a process is taken for the one that had its number before, where its cgroup does not tell its container. */
const PROCESS_MS = 1000;

/** What one `/proc/PID/cgroup` says. `unified` tells whether the cgroup v2 path alone says it. */
interface Membership {
	readonly containerId: string | undefined;
	readonly unified: boolean;
}

/*
 * docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope (systemd driver),
 * docker/ID, kubepods/.../podUID/ID, libpod_parent/libpod-ID (cgroupfs driver),
 * kubepods-....slice:cri-containerd:ID (containerd with the drivers mixed up).
 */
const segmentPattern = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/;

function containerOfPath(path: string): string | undefined {
	// From the end: the innermost container is the one that the process sees itself in.
	for (const segment of path.split('/').reverse()) {
		// conmon watches over a container from outside.
		if (segment.includes('conmon')) return undefined;
		const id = segmentPattern.exec(segment)?.[1];
		if (id !== undefined) return id;
	}
	return undefined;
}

function membership(text: string): Membership {
	let containerId: string | undefined;
	let legacy = false;
	for (const line of text.split('\n')) {
		// hierarchy-ID:controllers:path, and the path can hold colons
		const [hierarchy, , ...rest] = line.split(':');
		if (rest.length === 0) continue;
		const found = containerOfPath(rest.join(':'));
		if (hierarchy === '0') {
			if (found !== undefined) return { containerId: found, unified: true };
		} else {
			legacy = true;
			containerId ??= found;
		}
	}
	return { containerId, unified: !legacy };
}

/**
 * The id (64 hex digits) of the container that a process with this `/proc/PID/cgroup` runs in, under docker,
 * containerd, CRI-O or podman; undefined outside of a container. Of nested ones, the innermost.
 */
export function parseContainerId(text: string): string | undefined {
	return membership(text).containerId;
}

export interface ContainerOptions {
	readonly procRoot?: string;
	readonly capacity?: number;
	/** Where numbers of processes are not the kernel's: the container is told by its cgroup v2 alone. */
	readonly cgroups?: { of(id: bigint): string | undefined } | undefined;
}

/**
 * A function that finds the container of a connection's owner. Answers are remembered by cgroup, so they outlive the process:
 * ask while it is still there. A process that can't be read has no container, for now.
 */
export function createContainerResolver(options: ContainerOptions = {}): (owner: Owner) => string | undefined {
	const { procRoot = '/proc', capacity = CAPACITY, cgroups } = options;
	if (cgroups !== undefined) {
		return ({ cgroupId }) => {
			const path = cgroups.of(cgroupId);
			return path === undefined ? undefined : containerOfPath(path);
		};
	}
	/** By cgroup id; in the order of their last use. */
	const known = new Map<bigint, string | undefined>();
	/** By pid, of the current second. */
	const processes = new Map<number, string | undefined>();
	let sinceMs = 0;

	return function resolveContainer(owner: Owner): string | undefined {
		const { cgroupId, pid } = owner;
		if (known.has(cgroupId)) {
			const id = known.get(cgroupId);
			known.delete(cgroupId);
			known.set(cgroupId, id);
			return id;
		}
		const nowMs = performance.now();
		if (nowMs - sinceMs > PROCESS_MS) {
			processes.clear();
			sinceMs = nowMs;
		} else if (processes.has(pid)) {
			return processes.get(pid);
		}
		let text: string;
		try {
			text = readFileSync(`${procRoot}/${pid}/cgroup`, 'latin1');
		} catch {
			return undefined; // it has ended
		}
		const { containerId, unified } = membership(text);
		// Where the containers are told apart by cgroup v1 alone, many share one cgroup v2.
		if (unified && cgroupId !== 0n) {
			if (known.size >= capacity) known.delete(known.keys().next().value as bigint);
			known.set(cgroupId, containerId);
		} else {
			processes.set(pid, containerId);
		}
		return containerId;
	};
}
