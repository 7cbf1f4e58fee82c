// SPDX-License-Identifier: Apache-2.0
/** Processes that hold descriptors of programs: found, none, or unknown since one is unreadable. */
import { expect, it } from 'vitest';
import { inOneGo } from '../../../daemon/capture/neighbours.ts';
import type { ProcFiles } from '../../../daemon/host/processes.ts';
import { findHolders } from '../../../daemon/host/program_holders.ts';

const error = (code: string) => Object.assign(new Error(code), { code });

/** Descriptors by process; an error is what reading them fails with. */
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

it('finds each process once, and does not read other descriptors', () => {
	const { files, read } = proc({ 10: [file, link, link], 11: [program], 12: error('ENOENT') });
	const holders = inOneGo(findHolders(new Set([7, 8, 9]), files));
	expect([7, 8, 9].map((id) => holders.of(id))).toEqual([[10], [11], []]);
	expect(read).toEqual(['/proc/10/fdinfo/1', '/proc/10/fdinfo/2', '/proc/11/fdinfo/0']);
});

it.each(['EACCES', 'EPERM'])('does not report a program as left behind if reading a process fails with %s', (code) => {
	const { files } = proc({ 10: [link], 11: error(code) });
	const holders = inOneGo(findHolders(new Set([7, 8]), files));
	expect(holders.of(7)).toEqual([10]);
	expect(holders.of(8)).toBeUndefined();
});

it('does not mistake init or kernel threads for daemons', () => {
	const { files } = proc({ 1: error('EACCES'), 2: error('EACCES') });
	expect(inOneGo(findHolders(new Set([7]), files)).of(7)).toEqual([]);
});

it('yields after each process', () => {
	const { files } = proc({ 10: [], 11: [] });
	expect([...findHolders(new Set(), files)]).toHaveLength(2);
});
