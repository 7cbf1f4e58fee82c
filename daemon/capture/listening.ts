// SPDX-License-Identifier: Apache-2.0
/** The descriptors of all processes that listen on TCP, in every network namespace. */
import { includesPort, type Ports } from '../config/ports.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';
import type { Owner } from '../model/connection.ts';
import type { ListeningSocket } from '../model/peers.ts';
import { limit, ownerLayout } from './layout.gen.ts';
import type { BpfObject, NativeError } from './native.ts';
import { readEndpoint, readText } from './records.ts';

/** struct owner. */
export interface Listening {
	readonly local: Endpoint;
	/** Inode number of the network namespace. */
	readonly netns: number;
	readonly owner: Owner;
	/** When the process began (CLOCK_MONOTONIC nanoseconds). */
	readonly startedNs: bigint;
	readonly fd: number;
	/** The kernel keeps the SYNs of its connections (TCP_SAVE_SYN). */
	readonly keepsSyns: boolean;
	/** And does so for toascope. */
	readonly keptForUs: boolean;
	/** The kernel holds its connections back until data comes (TCP_DEFER_ACCEPT). */
	readonly defersAccept: boolean;
	/** IP_TRANSPARENT: TPROXY may give it connections of any local port. */
	readonly transparent: boolean;
}

/** However many ask for a recent walk: they share those of this time. */
const recentMs = 1000;
/** Walks whose time nobody depends on take at most this part of the time. */
const maxShare = 1 / 20;

export class ListeningSockets {
	/** Empty: they can be read. Else the name of the errno that forbids it: then there are none. */
	readonly refused: string;
	readonly #bpf: BpfObject;
	#buffer = Buffer.allocUnsafeSlow(4096 * ownerLayout.size);
	#recent: readonly Listening[] = [];
	#recentMs = Number.NEGATIVE_INFINITY;
	/** When the latest walk ended, and how long it took. */
	#endedMs = Number.NEGATIVE_INFINITY;
	#walkMs = 0;

	/** The iterator `toascope_listeners` must be attached, unless it is refused. */
	constructor(bpf: BpfObject, refused: string) {
		this.#bpf = bpf;
		this.refused = refused;
	}

	/** Whether walks have had less than a twentieth of the time if another one begins now: a host can have millions of descriptors. */
	get affordable(): boolean {
		return (performance.now() - this.#endedMs) * maxShare >= this.#walkMs;
	}

	/** At most a second old, or, where a walk is slow, as old as walks can be afforded. */
	recent(): readonly Listening[] {
		if (performance.now() - this.#recentMs >= recentMs && this.affordable) {
			this.#recent = this.read();
			this.#recentMs = performance.now();
		}
		return this.#recent;
	}

	/** Walks all descriptors: milliseconds. */
	read(): Listening[] {
		if (this.refused !== '') return [];
		const begun = performance.now();
		try {
			return this.#decode(this.#walk());
		} finally {
			// one that failed cost as much, and comes no sooner again
			this.#endedMs = performance.now();
			this.#walkMs = this.#endedMs - begun;
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

	/** Bytes in the buffer, which grows with the host's listening descriptors. */
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
			comm: readText(bytes, at + ownerLayout.comm, limit.COMM_SIZE),
			cgroupId: bytes.readBigUInt64LE(at + ownerLayout.cgroupId),
		},
		fd: bytes.readUInt32LE(at + ownerLayout.fd),
		keepsSyns: bytes[at + ownerLayout.keepsSyns] !== 0,
		keptForUs: bytes[at + ownerLayout.keptForUs] !== 0,
		defersAccept: bytes[at + ownerLayout.defersAccept] !== 0,
		transparent: bytes[at + ownerLayout.transparent] !== 0,
	};
}

/** Further ones are left out: a host with so many says nothing more by them. */
const shownMax = 1000;

/** Those on these ports; of several descriptors with one address the first. */
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
