// SPDX-License-Identifier: Apache-2.0
/**
 * The network namespaces of this host that can be entered: those of processes, and mounted ones
 * (`ip netns`).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unescapeMount } from './mounts.ts';
import { ownNetns } from './netns.ts';
import { attempt, processes, procFiles } from './processes.ts';

/**
 * For each inode number, a file by which the namespace can be entered (namespaces(7)). Includes
 * this process's own.
 */
export function networkNamespaces(): Map<number, string> {
	const found = new Map([[ownNetns(), '/proc/self/ns/net']]);
	const add = (inode: number, path: string) => void (found.has(inode) || found.set(inode, path));
	for (const { inode, path } of mountedNamespaces(readFileSync('/proc/self/mountinfo', 'utf8'))) add(inode, path);
	for (const { directory } of processes()) {
		const path = join(directory, 'ns/net');
		const inode = inodeOf(attempt(() => procFiles.link(path), undefined));
		if (inode !== undefined) add(inode, path);
	}
	return found;
}

/** Parses the text of /proc/self/mountinfo (proc(5)): type nsfs, root `net:[4026531840]`. */
export function mountedNamespaces(text: string): { readonly inode: number; readonly path: string }[] {
	return text.split('\n').flatMap((line) => {
		const fields = line.split(' ');
		const inode = line.includes(' - nsfs ') ? inodeOf(fields[3]) : undefined;
		return inode === undefined ? [] : [{ inode, path: unescapeMount(fields[4] ?? '') }];
	});
}

function inodeOf(name: string | undefined): number | undefined {
	const inode = /^net:\[(\d+)\]$/.exec(name ?? '')?.[1];
	return inode === undefined ? undefined : Number(inode);
}
