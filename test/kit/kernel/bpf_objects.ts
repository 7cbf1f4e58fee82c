// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel objects that a process has, and which of them still exist afterwards. They are
 * identified by id and not by name, since other daemons can run on this machine. The kernel never
 * assigns the id of a BPF object twice.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { constant } from '../../../daemon/capture/records/layout.gen.ts';
import { scaleTimeout } from '../timeouts.ts';

/**
 * Ids of BPF objects, pids of processes, and network namespaces other than that of the tests (inode
 * numbers).
 */
export interface KernelObjects {
	readonly programs: readonly number[];
	readonly maps: readonly number[];
	readonly links: readonly number[];
	readonly processes: readonly number[];
	readonly namespaces: readonly number[];
}

/** Returns `otherwise` if reading fails: a process can end before it is read. */
function attempt<T>(read: () => T, otherwise: T): T {
	try {
		return read();
	} catch {
		return otherwise;
	}
}

/** A process and all its descendants. */
export function processTree(pid: number): number[] {
	const children = attempt(() => readdirSync(`/proc/${pid}/task`), []).flatMap((thread) =>
		attempt(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'), '').split(' '),
	);
	return [pid, ...children.filter((text) => text !== '').flatMap((text) => processTree(Number(text)))];
}

const namespace = (pid: number | 'self') => attempt(() => statSync(`/proc/${pid}/ns/net`).ino, 0);

/** The kernel objects that a process and its descendants have at this moment. */
export function kernelObjectsOf(pid: number): KernelObjects {
	const processes = processTree(pid);
	const numbers = { prog_id: new Set<number>(), map_id: new Set<number>(), link_id: new Set<number>() };
	for (const one of processes) {
		for (const descriptor of attempt(() => readdirSync(`/proc/${one}/fdinfo`), [])) {
			const text = attempt(() => readFileSync(`/proc/${one}/fdinfo/${descriptor}`, 'utf8'), '');
			for (const [name, set] of Object.entries(numbers)) {
				const found = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1];
				if (found !== undefined) set.add(Number(found));
			}
		}
	}
	const namespaces = new Set(processes.map(namespace));
	namespaces.delete(0);
	namespaces.delete(namespace('self'));
	return {
		programs: [...numbers.prog_id],
		maps: [...numbers.map_id],
		links: [...numbers.link_id],
		processes,
		namespaces: [...namespaces],
	};
}

/** Returns the list that bpftool prints. It prints nothing for an empty list. */
function bpftool<T>(...args: string[]): T[] {
	const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
	const text = execFileSync('bpftool', ['-j', ...args], { encoding: 'utf8', env, maxBuffer: 1 << 26 }).trim();
	return text === '' ? [] : (JSON.parse(text) as T[]);
}

/** Those of the ids that still exist in the kernel. */
function existing(kind: 'prog' | 'map' | 'link', of: readonly number[]): number[] {
	if (of.length === 0) return [];
	const there = new Set(bpftool<{ id: number }>(kind, 'show').map(({ id }) => id));
	return of.filter((id) => there.has(id));
}

/** What still exists of the objects that a process had. */
export function remaining(had: KernelObjects): KernelObjects {
	const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
	const namespaces = new Set(processes.map((pid) => namespace(Number(pid))));
	return {
		programs: existing('prog', had.programs),
		maps: existing('map', had.maps),
		links: existing('link', had.links),
		processes: had.processes.filter((pid) => processes.includes(String(pid))),
		namespaces: had.namespaces.filter((inode) => namespaces.has(inode)),
	};
}

const count = (some: KernelObjects) =>
	Object.values(some).reduce((sum, each: readonly number[]) => sum + each.length, 0);

/**
 * Resolves when none of these objects exists any more. The kernel frees maps and programs a moment
 * after their last holder is gone. Rejects after `limitMs`, naming what is left, since the time
 * limit of the test would not name it.
 */
export async function allGone(had: KernelObjects, limitMs = scaleTimeout(20_000)): Promise<void> {
	const deadline = performance.now() + limitMs;
	for (;;) {
		const rest = remaining(had);
		if (count(rest) === 0) return;
		if (performance.now() > deadline) throw new Error(`left behind: ${JSON.stringify(rest)}`);
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
}

/** The mounts that concern toascope, as text, to be compared before and after. */
export function mounts(): string[] {
	return readFileSync('/proc/self/mountinfo', 'utf8')
		.split('\n')
		.filter((line) => / - (bpf|cgroup2|nsfs) /.test(line));
}

/** The programs attached to a cgroup itself, by name. */
export function attachedAt(cgroup: string): string[] {
	return bpftool<{ name: string }>('cgroup', 'show', cgroup)
		.map(({ name }) => name)
		.sort();
}

/** A pinned link, with the ids that the kernel assigned. */
export interface PinnedLink {
	readonly id: number;
	readonly program: number;
	readonly type: string;
}

/** The links in a pin directory, by name. */
export function pinned(directory: string): ReadonlyMap<string, PinnedLink> {
	const names = readdirSync(directory).sort();
	return new Map(
		names.map((name) => {
			const [found] = [
				bpftool<{ id: number; prog_id: number; type: string }>('link', 'show', 'pinned', join(directory, name)),
			].flat();
			if (found === undefined) throw new Error(`${name} is not a link`);
			return [name, { id: found.id, program: found.prog_id, type: found.type }];
		}),
	);
}

/** The path where a daemon with this pin directory pins the link of a program. */
export function pinnedLink(pins: string, program: string): string {
	return join(pins, `v${constant.TOASCOPE_LAYOUT}`, 'links', program);
}

/**
 * Attaches the program of a pinned link to another cgroup, without BPF_F_ALLOW_MULTI, so that no
 * other program of its type can be attached there. Returns a function that detaches it.
 */
export function attachExclusively(link: string, type: 'sock_ops' | 'getsockopt', cgroup: string): () => void {
	const [found] = [bpftool<{ prog_id: number }>('link', 'show', 'pinned', link)].flat();
	const program = [type, 'id', String(found?.prog_id)];
	bpftool('cgroup', 'attach', cgroup, ...program);
	return () => void bpftool('cgroup', 'detach', cgroup, ...program);
}

/** The ids of the cgroup links that a process has, by bpftool's name of their hook. */
export function cgroupLinks(pid: number): ReadonlyMap<string, number> {
	const had = kernelObjectsOf(pid).links;
	const links = bpftool<{ id: number; type: string; attach_type?: string }>('link', 'show');
	const found = links.filter(({ id, type }) => had.includes(id) && type === 'cgroup');
	return new Map(found.map(({ id, attach_type: hook }) => [hook ?? '', id]));
}

/** Detaches a link without notice to the process that has it. */
export function detachLink(id: number): void {
	bpftool('link', 'detach', 'id', String(id));
}

/** Writes one entry of a pinned map. */
export function writePinned(map: string, key: Buffer, value: Buffer): void {
	const hex = (bytes: Buffer) => ['hex', ...[...bytes].map((byte) => byte.toString(16).padStart(2, '0'))];
	bpftool('map', 'update', 'pinned', map, 'key', ...hex(key), 'value', ...hex(value));
}

/** Freezes a map: from now on the kernel refuses every write by a process (EPERM), permanently. */
export function freeze(maps: readonly number[], name: string): void {
	const found = bpftool<{ id: number; name: string }>('map', 'show').filter((map) => maps.includes(map.id));
	const [map] = found.filter((each) => each.name === name);
	if (map === undefined) throw new Error(`no map ${name}`);
	bpftool('map', 'freeze', 'id', String(map.id));
}
