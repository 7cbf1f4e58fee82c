// SPDX-License-Identifier: Apache-2.0
/** Records of connections that are still open: one after each `otel.span_interval` that they last. */
import type { OnFailure, Tracker } from '../capture/provider.ts';
import type { Yield } from '../event_loop.ts';
import type { Connection } from '../model/connection.ts';

export interface OpenRecordsOptions {
	readonly tracker: Pick<Tracker, 'eachOpen'>;
	readonly intervalMs: number;
	/** CLOCK_MONOTONIC nanoseconds. */
	readonly monotonicNs: () => bigint;
	/** `atNs`: a time at which the connection was open. */
	readonly onOpen: (connection: Connection, atNs: bigint) => void;
	/** False: records have to wait. */
	readonly hasRoom: () => boolean;
	readonly onFailure: OnFailure;
}

export class OpenRecords {
	readonly #options: OpenRecordsOptions;
	readonly #intervalNs: bigint;
	/** Records that were due before this have been made, or were due before this daemon started. */
	#sinceNs: bigint;

	constructor(options: OpenRecordsOptions) {
		this.#options = options;
		this.#intervalNs = BigInt(options.intervalMs) * 1_000_000n;
		this.#sinceNs = options.monotonicNs();
	}

	/**
	 * Makes the records that have become due since the last run that ended: however late a run is, a
	 * connection has at most one.
	 */
	async run(yieldLoop: Yield): Promise<void> {
		const { tracker, monotonicNs, onOpen, hasRoom, onFailure } = this.#options;
		const nowNs = monotonicNs();
		const isDue = (openedNs: bigint) => this.#intervals(openedNs, nowNs) > this.#intervals(openedNs, this.#sinceNs);
		await tracker.eachOpen({ isWanted: isDue, visit: onOpen, hasRoom }, yieldLoop, onFailure);
		this.#sinceNs = nowNs;
	}

	/** How many whole intervals a connection has been open at a time. */
	#intervals(openedNs: bigint, atNs: bigint): bigint {
		return atNs < openedNs ? 0n : (atNs - openedNs) / this.#intervalNs;
	}
}
