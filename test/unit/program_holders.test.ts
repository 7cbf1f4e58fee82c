// SPDX-License-Identifier: Apache-2.0
/** Who has descriptors of programs: found, nobody, or not known since a process may not be looked at. */
import { expect, it } from 'vitest';
import { inOneGo } from '../../daemon/capture/neighbours.ts';
import type { ProcFiles } from '../../daemon/capture/processes.ts';
import { findHolders } from '../../daemon/capture/program_holders.ts';

const error = (code: string) => Object.assign(new Error(code), { code });

/** Descriptors by process; an error: what the kernel says when one looks. */
function proc(processes: Readonly<Record<string, Error | readonly (readonly [target: string, info: string])[]>>) {
	const read: string[] = [];
	const of = (path: string) => {
		const [, , pid = '', , fd = '0'] = path.split('/');
		const found = processes[pid];
		if (found instanceof Error) throw found;
		return { all: found ?? [], one: found?.[Number(fd)] };
	};
	const files: ProcFiles = {
		list: (path) => (path === '/proc' ? [...Object.keys(processes), 'self'] : [...of(path).all.keys()].map(String)),
		link: (path) => of(path).one?.[0] ?? '',
		text(path) {
			if (path.endsWith('/cmdline')) return /^.proc.2\b/.test(path) ? '' : 'node\0';
			read.push(path);
			return of(path).one?.[1] ?? '';
		},
	};
	return { files, read };
}

const link = ['anon_inode:bpf_link', 'link_type:\tcgroup\nprog_id:\t7\n'] as const;
const program = ['anon_inode:bpf-prog', 'prog_type:\t13\nprog_id:\t8\n'] as const;
const file = ['/etc/passwd', 'prog_id:\t7\n'] as const;

it('finds each process once, and reads of other descriptors nothing', () => {
	const { files, read } = proc({ 10: [file, link, link], 11: [program], 12: error('ENOENT') });
	const holders = inOneGo(findHolders(new Set([7, 8, 9]), files));
	expect([7, 8, 9].map((id) => holders.of(id))).toEqual([[10], [11], []]);
	expect(read).toEqual(['/proc/10/fdinfo/1', '/proc/10/fdinfo/2', '/proc/11/fdinfo/0']);
});

it.each(['EACCES', 'EPERM'])('does not take a program for left behind where a process says %s', (code) => {
	const { files } = proc({ 10: [link], 11: error(code) });
	const holders = inOneGo(findHolders(new Set([7, 8]), files));
	expect(holders.of(7)).toEqual([10]);
	expect(holders.of(8)).toBeUndefined();
});

it('takes neither init nor kernel threads for daemons', () => {
	const { files } = proc({ 1: error('EACCES'), 2: error('EACCES') });
	expect(inOneGo(findHolders(new Set([7]), files)).of(7)).toEqual([]);
});

it('stops after each process', () => {
	const { files } = proc({ 10: [], 11: [] });
	expect([...findHolders(new Set(), files)]).toHaveLength(2);
});
