// SPDX-License-Identifier: Apache-2.0
/**
 * Bytes of memory in use: by the kernel, by the BPF maps of a process, and by the process itself.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const kib = 1024;

function field(text: string, name: string): number {
	return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
}

/**
 * Bytes that the whole kernel has allocated with kmalloc() and in larger areas. An object counts
 * with its share of its slab's pages, whether or not these were allocated for it: slabinfo(5);
 * proc(5), /proc/meminfo.
 */
export function kernelBytes(): number {
	// folds in the part of the counts that each processor keeps to itself
	writeFileSync('/proc/sys/vm/stat_refresh', '1');
	const text = readFileSync('/proc/meminfo', 'utf8');
	return (field(text, 'VmallocUsed') + field(text, 'Percpu')) * kib + kmallocBytes();
}

const pageBytes = 4096;

function kmallocBytes(): number {
	const caches = readFileSync('/proc/slabinfo', 'utf8').matchAll(/^kmalloc-\S+ +(\d+) +\d+ +\d+ +(\d+) +(\d+) /gm);
	return [...caches].reduce(
		(sum, [, objects, objectsInSlab, pages]) =>
			sum + Number(objects) * ((Number(pages) * pageBytes) / Number(objectsInSlab)),
		0,
	);
}

/**
 * Bytes of the BPF maps of a process, as the kernel accounts for them. The contents of socket
 * storage are not included.
 */
export function mapBytes(pid: number): number {
	const folder = `/proc/${pid}/fdinfo`;
	const maps = new Map<string, number>();
	for (const name of readdirSync(folder)) {
		const text = readIfThere(`${folder}/${name}`);
		const id = /^map_id:\s+(\d+)/m.exec(text)?.[1];
		// the link of an iterator names its map as well
		if (id !== undefined && text.includes('map_type:')) maps.set(id, field(text, 'memlock'));
	}
	return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Returns '' for a descriptor that the process closed after the directory was listed. */
function readIfThere(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw error;
	}
}

/** Resident memory of a process. */
export function residentBytes(pid: number): number {
	return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS') * kib;
}

/** Peak resident memory of a process. */
export function peakBytes(pid: number): number {
	return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM') * kib;
}
