// SPDX-License-Identifier: Apache-2.0
/** Reads the records of connections from the ring. */
import type { BpfObject } from '../../native/binding.ts';
import type { ConnectionEvent } from '../model/connection.ts';
import type { OnFailure } from './provider.ts';
import { eventLayout } from './records/layout.gen.ts';
import { readEvent } from './records/records.ts';

const batchBytes = 256 * eventLayout.size;
/** A drain lasts at most this long, and one batch: it blocks the event loop. */
const drainMs = 10;

export class EventRing {
	readonly #bpf: BpfObject;
	readonly #profileName: (id: number) => string | undefined;
	readonly #batch = Buffer.allocUnsafeSlow(batchBytes);

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#profileName = profileName;
	}

	/** The part of the ring that is in use, from 0 to 1. */
	get share(): number {
		return this.#bpf.ringShare();
	}

	/** Leaves what takes longer than `drainMs` for the next call. True: there is more. */
	drain(onEvent: (event: ConnectionEvent) => void, onFailure: OnFailure): boolean {
		const until = performance.now() + drainMs;
		let bytes = batchBytes;
		while (bytes === batchBytes && performance.now() < until) {
			bytes = this.#bpf.drain(this.#batch);
			for (let at = 0; at < bytes; at += eventLayout.size) {
				// the batch is no longer in the ring: a record that fails must not lose the others
				try {
					const event = readEvent(this.#batch, at, this.#profileName);
					if (event === undefined) throw new Error('a record lacks the endpoints of its connection');
					onEvent(event);
				} catch (error) {
					onFailure('events', error);
				}
			}
		}
		return bytes === batchBytes;
	}

	/** Returns the number of records. */
	discard(): number {
		let all = 0;
		for (let bytes = batchBytes; bytes === batchBytes; all += bytes) {
			bytes = this.#bpf.drain(this.#batch);
		}
		return all / eventLayout.size;
	}
}
