// SPDX-License-Identifier: Apache-2.0
/**
 * Identifies the process of the running daemon by what the kernel reports. Root signals that
 * process, so nothing counts that the answering process says about itself. A process that another
 * user could put there is signalled only where that user could signal it as well.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { native } from '../../native/binding.ts';
import { descriptorOf } from '../host/descriptor.ts';
import { exactLockHolder } from '../host/lock_holder.ts';

export interface KnownProcess {
	/** In our PID namespace. */
	readonly pid: number;
	/** The owner of the socket or of the lock. */
	readonly uid: number;
}

/**
 * The process that listens at the other end of this connected Unix socket. Undefined: it is not in
 * our PID namespace.
 */
export function listeningProcessOf(socket: Socket): KnownProcess | undefined {
	const fd = descriptorOf(socket);
	const found = fd === undefined ? undefined : native().peerProcess(fd);
	return found !== undefined && runsAsUser(found) ? found : undefined;
}

/** The daemon that holds the lock of these pins; undefined: none, or not visible to this user. */
export function lockHolderOf(pin: string): KnownProcess | undefined {
	try {
		const pid = exactLockHolder(pin);
		const uid = statSync(pin).uid;
		return pid !== undefined && runsAsUser({ pid, uid }) ? { pid, uid } : undefined;
	} catch {
		return undefined;
	}
}

/**
 * Whether the process still runs as that user. The PID can have been reused, and the process that
 * began to listen can have executed a set-user-ID program since. PIDs of 0 and below are process
 * groups (kill(2)).
 */
export function runsAsUser({ pid, uid }: KnownProcess, proc = '/proc'): boolean {
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
