// SPDX-License-Identifier: Apache-2.0
/** What memory is in use: the kernel's, that of a process's maps, and the process's own. Bytes. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const kib = 1024;

function field(text: string, name: string): number {
	return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
}

/**
 * What the kernel has allocated for all, by kmalloc() and in larger areas. An object counts with its share of the pages
 * that hold such objects, whether these are new or have had room: slabinfo(5); proc(5), /proc/meminfo.
 */
export function kernelBytes(): number {
	// each processor keeps a part of the counts to itself until then
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

/** Of the BPF maps of a process, as the kernel accounts for them. What socket storage holds is not among it. */
export function mapBytes(pid: number): number {
	const folder = `/proc/${pid}/fdinfo`;
	const maps = new Map<string, number>();
	for (const name of readdirSync(folder)) {
		const text = readWhileThere(`${folder}/${name}`);
		const id = /^map_id:\s+(\d+)/m.exec(text)?.[1];
		// an iterator's link names its map, too
		if (id !== undefined && text.includes('map_type:')) maps.set(id, field(text, 'memlock'));
	}
	return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** The process may close a descriptor, which is then no map, after the folder was listed. */
function readWhileThere(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
		throw error;
	}
}

/** Pages of a process that are in memory. */
export function residentBytes(pid: number): number {
	return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS') * kib;
}

/** The most that it ever had in memory. */
export function peakBytes(pid: number): number {
	return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM') * kib;
}
