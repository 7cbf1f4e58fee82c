// SPDX-License-Identifier: Apache-2.0
/** Finds the container that a process runs in, from its cgroup. */
import { readFileSync } from 'node:fs';
import type { Owner } from './connection.ts';

/** Containers that are remembered; the least recently used one is evicted first. */
const CAPACITY = 4096;
/**
 * How long an answer is reused by pid, where the cgroup v2 does not identify the container. It is
 * short because pids are reused.
 */
const PROCESS_MS = 1000;

/**
 * What one `/proc/PID/cgroup` says. `unified`: the cgroup v2 path alone identifies the container.
 */
interface Membership {
	readonly containerId: string | undefined;
	readonly unified: boolean;
	/** The path in cgroup v2. */
	readonly path: string | undefined;
}

/*
 * docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope (systemd driver),
 * docker/ID, kubepods/.../podUID/ID, libpod_parent/libpod-ID (cgroupfs driver),
 * kubepods-....slice:cri-containerd:ID (containerd with the drivers mixed up).
 */
const segmentPattern = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/;

function containerOfPath(path: string): string | undefined {
	// From the end: the innermost container is the one that the process runs in.
	for (const segment of path.split('/').reverse()) {
		// conmon monitors a container from outside it.
		if (segment.includes('conmon')) return undefined;
		const id = segmentPattern.exec(segment)?.[1];
		if (id !== undefined) return id;
	}
	return undefined;
}

function membership(text: string): Membership {
	let containerId: string | undefined;
	let legacy = false;
	let path: string | undefined;
	for (const line of text.split('\n')) {
		// hierarchy-ID:controllers:path, and the path can hold colons
		const [hierarchy, , ...rest] = line.split(':');
		if (rest.length === 0) continue;
		const found = containerOfPath(rest.join(':'));
		if (hierarchy === '0') {
			path = rest.join(':');
			if (found !== undefined) return { containerId: found, unified: true, path };
		} else {
			legacy = true;
			containerId ??= found;
		}
	}
	return { containerId, unified: !legacy, path };
}

/**
 * The id (64 hex digits) of the container that a process with this `/proc/PID/cgroup` runs in,
 * under docker, containerd, CRI-O or podman; undefined outside a container. For nested containers,
 * the innermost.
 */
export function parseContainerId(text: string): string | undefined {
	return membership(text).containerId;
}

/** Finds the container of a connection's owner. */
export interface ContainerResolver {
	/** To be called while the connection is open, so that the process still exists. */
	(owner: Owner): string | undefined;
	/** Without reading the process: after the close, its pid can be another's. */
	known(owner: Owner): string | undefined;
}

export interface ContainerOptions {
	/** Returns the id of the cgroup v2 with this path; undefined: it cannot be read. */
	readonly cgroupIdOf?: (path: string) => bigint | undefined;
	readonly procRoot?: string;
	readonly capacity?: number;
	/**
	 * Set where pids are not the kernel's: the container is then found by its cgroup v2 path only.
	 */
	readonly cgroups?: { of(id: bigint): string | undefined } | undefined;
}

/**
 * Returns a function that finds the container of a connection's owner. Answers are remembered by
 * cgroup, so they outlive the process: call it while the process still exists. A process that
 * cannot be read has no container, for now.
 */
export function createContainerResolver(options: ContainerOptions = {}): ContainerResolver {
	const { procRoot = '/proc', capacity = CAPACITY, cgroups, cgroupIdOf } = options;
	if (cgroups !== undefined) {
		const ofCgroup = ({ cgroupId }: Owner) => {
			const path = cgroups.of(cgroupId);
			return path === undefined ? undefined : containerOfPath(path);
		};
		return Object.assign(ofCgroup, { known: ofCgroup });
	}
	/** By cgroup id, in the order of their last use. */
	const known = new Map<bigint, string | undefined>();
	/** By pid, for the current second. */
	const processes = new Map<number, string | undefined>();
	let sinceMs = 0;

	const recall = ({ cgroupId }: Owner): string | undefined => {
		const id = known.get(cgroupId);
		known.delete(cgroupId);
		known.set(cgroupId, id);
		return id;
	};

	const resolve = (owner: Owner): string | undefined => {
		const { cgroupId, pid } = owner;
		if (known.has(cgroupId)) return recall(owner);
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
			return undefined; // the process has ended
		}
		const { containerId, unified, path } = membership(text);
		// the process has moved, or the pid is another's by now
		const idNow = path === undefined || cgroupId === 0n ? undefined : cgroupIdOf?.(path);
		if (idNow !== undefined && idNow !== cgroupId) return undefined;
		// Where only cgroup v1 distinguishes the containers, many of them share one cgroup v2.
		if (unified && cgroupId !== 0n) {
			if (known.size >= capacity) known.delete(known.keys().next().value as bigint);
			known.set(cgroupId, containerId);
		} else {
			processes.set(pid, containerId);
		}
		return containerId;
	};
	return Object.assign(resolve, { known: (owner: Owner) => (known.has(owner.cgroupId) ? recall(owner) : undefined) });
}
