// SPDX-License-Identifier: Apache-2.0
/**
 * 32-bit programs that listen on TCP. No kernel version runs getsockopt programs for their (compat)
 * calls, so the provider `bpf` cannot answer them.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { includesPort, type Ports } from '../config/ports.ts';
import { attempt, descriptors, type Process, processes, procFiles } from './processes.ts';

export interface CompatServer {
	readonly pid: number;
	readonly comm: string;
	/** Effective user id. Undefined: the process has ended. */
	readonly uid?: number | undefined;
	/** Local ports that it listens on, in ascending order. */
	readonly ports: readonly number[];
}

/** elf(5): the magic number, then EI_CLASS. */
const elf32 = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1]);
/** TCP_LISTEN in /proc/net/tcp (proc(5)). */
const tcpListen = '0A';

/** Empty if the file, or the process, cannot be read. */
const textOf = ({ directory }: Process, ...names: readonly string[]) =>
	attempt(() => procFiles.text(join(directory, ...names)), '');

function isElf32(file: string): boolean {
	const head = Buffer.alloc(elf32.length);
	const read = () => {
		const descriptor = openSync(file, 'r');
		try {
			readSync(descriptor, head);
		} finally {
			closeSync(descriptor);
		}
	};
	attempt(read, undefined);
	return head.equals(elf32);
}

/** Inode numbers of the open sockets of a process. */
function socketsOf(process: Process): Set<string> {
	const targets = [...descriptors(process)].map(({ target }) => target);
	return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}

/** Port and inode number of each listener in the network namespace of the process. */
function listenersIn(process: Process): { port: number; inode: string }[] {
	return ['tcp', 'tcp6'].flatMap((name) => {
		const [, ...lines] = textOf(process, 'net', name).split('\n');
		return lines.flatMap((line) => {
			const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
			return state === tcpListen ? [{ port: Number.parseInt(local.split(':')[1] ?? '', 16), inode }] : [];
		});
	});
}

/** Those that listen on ports of the set, except processes that this one cannot inspect. */
export function findCompatServers(ports: Ports, proc = '/proc'): CompatServer[] {
	return attempt(() => processes(procFiles, proc), []).flatMap((process) => {
		if (!isElf32(join(process.directory, 'exe'))) return [];
		const own = socketsOf(process);
		const found = listenersIn(process).filter(({ port, inode }) => own.has(inode) && includesPort(ports, port));
		if (found.length === 0) return [];
		const comm = textOf(process, 'comm').trim();
		const listening = [...new Set(found.map(({ port }) => port))].toSorted((a, b) => a - b);
		return [{ pid: process.pid, comm, uid: userOf(process), ports: listening }];
	});
}

function userOf(process: Process): number | undefined {
	const [, effective] = /^Uid:\s+\d+\s+(\d+)/m.exec(textOf(process, 'status')) ?? [];
	return effective === undefined ? undefined : Number(effective);
}

/** User ids below this are root and the users of services (login.defs(5), UID_MIN). */
const firstLoginUid = 1000;

/**
 * Those that decide which provider runs: servers on ports that the configuration names; if it names
 * none, servers of root and of services, because any other user could start a program in order to
 * choose the provider of the host.
 */
export function serversThatDecideProvider(servers: readonly CompatServer[], watched: Ports): CompatServer[] {
	return servers.filter(({ uid }) => watched !== 'all' || (uid !== undefined && uid < firstLoginUid));
}

/** `nginx (process 42, port 80)`; names at most five servers, and the number of the others. */
export function describeCompatServers(servers: readonly CompatServer[]): string {
	const some = servers.slice(0, 5).map(({ pid, comm, ports }) => {
		return `${comm} (process ${pid}, port${ports.length === 1 ? '' : 's'} ${ports.slice(0, 5).join(', ')})`;
	});
	const more = servers.length - some.length;
	return some.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
