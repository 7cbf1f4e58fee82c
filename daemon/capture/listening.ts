// SPDX-License-Identifier: Apache-2.0
/** Finds the descriptors of all processes that listen on TCP, in every network namespace. */

import type { BpfObject, NativeError } from '../../native/binding.ts';
import { includesPort, type Ports } from '../config/ports.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';
import type { Owner } from '../model/connection.ts';
import type { ListeningSocket } from '../model/peers.ts';
import { constant, ownerLayout } from './records/layout.gen.ts';
import { readEndpoint, readText } from './records/records.ts';

/** struct owner. */
export interface Listening {
	readonly local: Endpoint;
	/** The inode number of the network namespace. */
	readonly netns: number;
	readonly owner: Owner;
	/** When the process started (CLOCK_MONOTONIC nanoseconds). */
	readonly startedNs: bigint;
	readonly fd: number;
	/** The kernel saves the SYNs of its connections (TCP_SAVE_SYN). */
	readonly savesSyns: boolean;
	/** toascope set TCP_SAVE_SYN there. */
	readonly savedByUs: boolean;
	/** The kernel delays accept() until data arrives (TCP_DEFER_ACCEPT). */
	readonly defersAccept: boolean;
	/** IP_TRANSPARENT: through TPROXY its connections can have any local port. */
	readonly transparent: boolean;
}

/** Calls within this time share the result of one walk, however many there are. */
const recentMs = 1000;
/** Walks that can wait use at most this share of the time. */
const maxShare = 1 / 20;

export class ListeningSockets {
	/**
	 * Empty: the sockets can be read. Otherwise the name of the errno that forbids it: then none
	 * are found.
	 */
	readonly refused: string;
	readonly #bpf: BpfObject;
	#buffer = Buffer.allocUnsafeSlow(4096 * ownerLayout.size);
	#recent: readonly Listening[] = [];
	#recentMs = Number.NEGATIVE_INFINITY;
	/** When the latest walk ended, and how long it took. */
	#endedMs = Number.NEGATIVE_INFINITY;
	#walkMs = 0;

	/** The iterator `toascope_listeners` must be attached, unless `refused` is set. */
	constructor(bpf: BpfObject, refused: string) {
		this.#bpf = bpf;
		this.refused = refused;
	}

	/**
	 * Whether walks would stay below a twentieth of the time if another one began now: a host can
	 * have millions of descriptors.
	 */
	get affordable(): boolean {
		return (performance.now() - this.#endedMs) * maxShare >= this.#walkMs;
	}

	/**
	 * Returns a walk that is at most a second old or, where walks are slow, as old as needed to
	 * keep within their share of the time.
	 */
	recent(): readonly Listening[] {
		if (performance.now() - this.#recentMs >= recentMs && this.affordable) {
			this.#recent = this.read();
			this.#recentMs = performance.now();
		}
		return this.#recent;
	}

	/** Walks all descriptors, which takes milliseconds. */
	read(): Listening[] {
		if (this.refused !== '') return [];
		const began = performance.now();
		try {
			return this.#decode(this.#walk());
		} finally {
			// a failed walk costs as much, so it delays the next one too
			this.#endedMs = performance.now();
			this.#walkMs = this.#endedMs - began;
		}
	}

	#decode(bytes: number): Listening[] {
		const found: Listening[] = [];
		for (let at = 0; at < bytes; at += ownerLayout.size) {
			const listening = readListening(this.#buffer, at);
			if (listening !== undefined) found.push(listening);
		}
		return found;
	}

	/**
	 * Returns the number of bytes in the buffer, which grows with the number of listening
	 * descriptors on the host.
	 */
	#walk(): number {
		for (;;) {
			try {
				return this.#bpf.iterate('toascope_listeners', this.#buffer);
			} catch (error) {
				if ((error as NativeError).code !== 'ENOBUFS') throw error;
				this.#buffer = Buffer.allocUnsafeSlow(this.#buffer.length * 2);
			}
		}
	}
}

export function readListening(bytes: Buffer, at: number): Listening | undefined {
	const local = readEndpoint(bytes, at + ownerLayout.local);
	if (local === undefined) return undefined;
	return {
		local,
		netns: bytes.readUInt32LE(at + ownerLayout.netns),
		startedNs: bytes.readBigUInt64LE(at + ownerLayout.startedNs),
		owner: {
			by: 'listener',
			pid: bytes.readUInt32LE(at + ownerLayout.pid),
			comm: readText(bytes, at + ownerLayout.comm, constant.COMM_SIZE),
			cgroupId: bytes.readBigUInt64LE(at + ownerLayout.cgroupId),
		},
		fd: bytes.readUInt32LE(at + ownerLayout.fd),
		savesSyns: bytes[at + ownerLayout.savesSyns] !== 0,
		savedByUs: bytes[at + ownerLayout.savedByUs] !== 0,
		defersAccept: bytes[at + ownerLayout.defersAccept] !== 0,
		transparent: bytes[at + ownerLayout.transparent] !== 0,
	};
}

/** The most listeners that are reported: more would add no information. */
const shownMax = 1000;

/** The listeners on these ports; of several descriptors with one address, only the first. */
export function listeningOn(all: readonly Listening[], ports: Ports): ListeningSocket[] {
	const found = new Map<string, ListeningSocket>();
	for (const { local, netns, owner, defersAccept } of all) {
		const name = `${netns} ${formatEndpoint(local)}`;
		if (found.size >= shownMax || found.has(name) || !includesPort(ports, local.port)) continue;
		const { pid, comm } = owner;
		found.set(name, { local: formatEndpoint(local), pid, comm, defers_accept: defersAccept });
	}
	return [...found.values()];
}
