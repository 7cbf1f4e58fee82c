// SPDX-License-Identifier: Apache-2.0
/**
 * Which process the running daemon is, by what the kernel says: root signals it, so nothing that whoever answers says of
 * itself counts. A process that another user could put there is signalled at most where that user could do it too.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { descriptorOf } from './descriptor.ts';
import { exactLockHolder } from './lock_holder.ts';
import { native } from './native.ts';

export interface KnownProcess {
	/** In our pid namespace. */
	readonly pid: number;
	/** Whose socket, or lock, it is. */
	readonly uid: number;
}

/** Who listens where this Unix socket, which is connected, has connected to. Undefined: it is not in our pid namespace. */
export function listenerOf(socket: Socket): KnownProcess | undefined {
	const fd = descriptorOf(socket);
	const found = fd === undefined ? undefined : native().peerProcess(fd);
	return found !== undefined && isOwn(found) ? found : undefined;
}

/** The daemon that has these pins. Undefined: none, or this user may not look. */
export function holderOf(pin: string): KnownProcess | undefined {
	try {
		const pid = exactLockHolder(pin);
		const uid = statSync(pin).uid;
		return pid !== undefined && isOwn({ pid, uid }) ? { pid, uid } : undefined;
	} catch {
		return undefined;
	}
}

/**
 * Whether the process still runs as that user. The number may be another process's by now, and a program with the set-user-ID
 * bit may have followed in the process that began to listen. 0 and less are groups of processes (kill(2)).
 */
export function isOwn({ pid, uid }: KnownProcess, proc = '/proc'): boolean {
	if (!Number.isSafeInteger(pid) || pid < 1) return false;
	let status: string;
	try {
		status = readFileSync(`${proc}/${pid}/status`, 'utf8');
	} catch {
		return false;
	}
	const [, effective] = /^Uid:\s+\d+\s+(\d+)/m.exec(status) ?? [];
	return effective !== undefined && Number(effective) === uid;
}
