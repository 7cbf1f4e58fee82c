// SPDX-License-Identifier: Apache-2.0
/** Finds the owner of a connection whose accept was unobserved: the process that listens. */
import { readFileSync } from 'node:fs';
import { native } from '../../native/binding.ts';
import type { Endpoint } from '../model/address.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Connection, Owner } from '../model/connection.ts';
import type { Listening, ListeningSockets } from './listening.ts';

/**
 * What was read is valid for this long, because a process can pass its listener to another while it
 * lives.
 */
const maxAgeMs = 1000;

const key = (netns: number, endpoint: Endpoint) => `${netns} ${formatEndpoint(endpoint)}`;

/** Reads /proc/PID/stat (proc(5)): a zombie no longer listens. */
function isAlive(pid: number): boolean {
	try {
		return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
	} catch {
		return false;
	}
}

export class Owners {
	readonly #sockets: ListeningSockets;
	readonly #visible: boolean;
	#listening = new Map<string, Listening>();
	/** When the sockets were read (CLOCK_MONOTONIC, like the kernel's times). */
	#readNs = 0n;
	/** When each process was last seen alive, by pid. */
	readonly #aliveNs = new Map<number, bigint>();

	/**
	 * `visible` false: the process IDs here differ from the kernel's (pid_namespace.ts), so /proc
	 * describes other processes.
	 */
	constructor(sockets: ListeningSockets, visible = true) {
		this.#sockets = sockets;
		this.#visible = visible;
	}

	/**
	 * Returns the process that listens where this connection arrived, if it did so when the
	 * connection was opened; undefined if it is gone.
	 */
	of(connection: Connection): Owner | undefined {
		let found = this.#find(connection);
		const isDead = found !== undefined && this.#isDead(found, connection);
		if (this.#mustRead(found, connection, isDead)) {
			this.#read();
			found = this.#find(connection);
		} else if (isDead) return undefined;
		// a process that started later uses the port of another one, which is gone
		return found !== undefined && found.startedNs <= connection.openedNs ? found.owner : undefined;
	}

	/**
	 * Whether the sockets must be read again, and can be now: what was read can be outdated, or
	 * older than the connection.
	 */
	#mustRead(found: Listening | undefined, { openedNs }: Connection, isDead: boolean): boolean {
		const ageMs = Number(native().monotonicNs() - this.#readNs) / 1e6;
		if (ageMs > maxAgeMs) return this.#sockets.affordable;
		if (found === undefined) return openedNs > this.#readNs && this.#sockets.affordable;
		return isDead;
	}

	/**
	 * Whether the process has ended, possibly before the connection was opened. A process that was
	 * seen alive after that had not.
	 */
	#isDead({ owner: { pid } }: Listening, { openedNs }: Connection): boolean {
		if (!this.#visible || openedNs <= (this.#aliveNs.get(pid) ?? this.#readNs)) return false;
		const nowNs = native().monotonicNs();
		if (!isAlive(pid)) return true;
		this.#aliveNs.set(pid, nowNs);
		return false;
	}

	#find({ netns, local }: Connection): Listening | undefined {
		const any = (family: 4 | 6): Endpoint => ({ family, text: family === 4 ? '0.0.0.0' : '::', port: local.port });
		return (
			this.#listening.get(key(netns, local)) ??
			this.#listening.get(key(netns, any(local.family))) ??
			// a dual-stack listener accepts IPv4 as well
			this.#listening.get(key(netns, any(6)))
		);
	}

	#read(): void {
		this.#readNs = native().monotonicNs();
		this.#aliveNs.clear();
		const sockets = this.#sockets.read();
		this.#listening = new Map();
		for (const listening of sockets) {
			const address = key(listening.netns, listening.local);
			// if several processes share a listener, the first one, which created it, is its owner
			if (!this.#listening.has(address)) this.#listening.set(address, listening);
		}
	}
}
