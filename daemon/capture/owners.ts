// SPDX-License-Identifier: Apache-2.0
/** The processes that listen: who owns a connection whose accept was not seen. */
import { readFileSync } from 'node:fs';
import type { Endpoint } from '../model/address.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Connection, Owner } from '../model/connection.ts';
import type { Listening, ListeningSockets } from './listening.ts';
import { native } from './native.ts';

/** A process may give its listener to another while it lives: what was read is good for so long. */
const maxAgeMs = 1000;

const key = (netns: number, endpoint: Endpoint) => `${netns} ${formatEndpoint(endpoint)}`;

/** proc(5), /proc/PID/stat: a zombie listens no more. */
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
	/** CLOCK_MONOTONIC, as the kernel's times. */
	#readNs = 0n;
	/** By pid: when the process was last seen alive. */
	readonly #aliveNs = new Map<number, bigint>();

	/** `visible` false: processes have other numbers here than in the kernel (pid_namespace.ts), and /proc tells of others. */
	constructor(sockets: ListeningSockets, visible = true) {
		this.#sockets = sockets;
		this.#visible = visible;
	}

	/** The process that listens where this connection came in, and did when it was opened; undefined when it is gone. */
	of(connection: Connection): Owner | undefined {
		let found = this.#find(connection);
		const isDead = found !== undefined && this.#isDead(found, connection);
		if (this.#mustRead(found, connection, isDead)) {
			this.#read();
			found = this.#find(connection);
		} else if (isDead) return undefined;
		// one that began later has the port of another, which is gone
		return found !== undefined && found.startedNs <= connection.openedNs ? found.owner : undefined;
	}

	/** Whether what was read may no longer be so, or was not yet, when the connection was opened; and another walk can be had. */
	#mustRead(found: Listening | undefined, { openedNs }: Connection, isDead: boolean): boolean {
		const ageMs = Number(native().monotonicNs() - this.#readNs) / 1e6;
		if (ageMs > maxAgeMs) return this.#sockets.affordable;
		if (found === undefined) return openedNs > this.#readNs && this.#sockets.affordable;
		return isDead;
	}

	/** Whether it ended, perhaps before the connection was opened. One that was seen alive since then did not. */
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
			// a dual-stack listener takes IPv4 as well
			this.#listening.get(key(netns, any(6)))
		);
	}

	#read(): void {
		this.#readNs = native().monotonicNs();
		this.#aliveNs.clear();
		const sockets = this.#sockets.read();
		this.#listening = new Map();
		for (const listening of sockets) {
			const place = key(listening.netns, listening.local);
			// of several processes that share a listener the first, which made it, stands for all
			if (!this.#listening.has(place)) this.#listening.set(place, listening);
		}
	}
}
