// SPDX-License-Identifier: Apache-2.0
/**
 * Encoded items on their way to the receiver: they wait in a bounded queue, and leave in batches, one
 * request at a time.
 */
import type { OtelBatches } from '../../otel_environment.ts';
import { BatchSender } from './batch_sender.ts';
import { EncodedItems } from './encoded_items.ts';
import type { ProtobufWriter } from './protobuf_writer.ts';
import type { Receiver } from './receiver.ts';
import type { SignalHealth } from './signal_health.ts';

export interface BatchQueueOptions {
	readonly receiver: Receiver<EncodedItems>;
	readonly health: SignalHealth;
	readonly batches: OtelBatches;
}

/** A receiver that takes longer than this for a batch is not merely busy with the previous ones. */
const stalledMs = 1000;

export class BatchQueue {
	readonly #sender: BatchSender<EncodedItems>;
	readonly #batches: OtelBatches;
	readonly #maxBatch: number;
	/** Batches that are in no request yet; all but the last are full. */
	readonly #batchesWaiting: EncodedItems[] = [];
	#waiting = 0;
	/** A batch that was sent: its memory serves the next one. */
	#spare: EncodedItems | undefined;
	/** Items of the request in progress, and when it began. */
	#inFlight = 0;
	#sentAtMs = 0;
	#sending: Promise<void> | undefined;
	#timer: NodeJS.Timeout | undefined;
	#ending: Promise<bigint> | undefined;
	/** Items that did not fit. */
	#refused = 0n;
	#failed = 0n;

	constructor({ receiver, health, batches }: BatchQueueOptions) {
		this.#sender = new BatchSender(receiver, health);
		this.#batches = batches;
		// a batch that waits for its last items must not look like a queue that fills
		this.#maxBatch = Math.max(1, Math.min(batches.maxBatch, Math.floor(batches.maxQueue / 4)));
	}

	/** Items that are neither exported nor dropped yet: at most `maxQueue`. */
	get pending(): number {
		return this.#waiting + this.#inFlight;
	}

	/** The part of the queue that is in use, from 0 to 1. */
	get share(): number {
		return this.pending / this.#batches.maxQueue;
	}

	/** The receiver has not answered a request for a while. */
	get isStalled(): boolean {
		return this.#inFlight > 0 && performance.now() - this.#sentAtMs > stalledMs;
	}

	/** Items that were dropped: there was no room, or the receiver did not accept them. */
	get dropped(): { readonly full: bigint; readonly failed: bigint } {
		return { full: this.#refused, failed: this.#failed };
	}

	/** end() was called: nothing is added any more. */
	get hasEnded(): boolean {
		return this.#ending !== undefined;
	}

	/** Adds an item; `encode` is not called if there is no room for it. Never waits. False: it was dropped. */
	add(encode: () => ProtobufWriter): boolean {
		if (this.hasEnded) return false;
		if (this.pending >= this.#batches.maxQueue) {
			this.#refused++;
			return false;
		}
		const message = encode();
		this.#lastBatch().add(message);
		this.#waiting++;
		if (this.#sending !== undefined) return true;
		if (this.#waiting >= this.#maxBatch) this.#send();
		else this.#timer ??= setTimeout(() => this.#send(), this.#batches.delayMs).unref();
		return true;
	}

	/** Sends the remaining items, for at most `timeoutMs`. Resolves with the number of those that were lost. */
	end(timeoutMs: number): Promise<bigint> {
		this.#ending ??= this.#end(timeoutMs);
		return this.#ending;
	}

	/** Sends what waits, one request at a time, until less than a batch is left. */
	#send(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#sending ??= this.#sendBatches().then(() => {
			this.#sending = undefined;
			// at the end, the next batch is sent by the one that waits for this one
			if (this.#waiting === 0 || this.hasEnded) return;
			this.#timer = setTimeout(() => this.#send(), this.#batches.delayMs).unref();
		});
	}

	async #sendBatches(): Promise<void> {
		do {
			const batch = this.#batchesWaiting.shift();
			if (batch === undefined) return;
			this.#waiting -= batch.count;
			this.#inFlight = batch.count;
			this.#sentAtMs = performance.now();
			const { failed } = await this.#sender.send(batch, batch.count);
			this.#inFlight = 0;
			this.#failed += BigInt(failed);
			batch.clear();
			this.#spare = batch;
		} while (this.#waiting >= this.#maxBatch);
	}

	/** The batch that the next item belongs to. */
	#lastBatch(): EncodedItems {
		const last = this.#batchesWaiting.at(-1);
		if (last !== undefined && last.count < this.#maxBatch) return last;
		const batch = this.#spare ?? new EncodedItems();
		this.#spare = undefined;
		this.#batchesWaiting.push(batch);
		return batch;
	}

	async #end(timeoutMs: number): Promise<bigint> {
		const before = this.#failed;
		const closing = setTimeout(() => this.#sender.abort(), timeoutMs);
		// an aborted sender gives up each batch at once, so this ends soon after the limit
		while (this.pending > 0) {
			this.#send();
			await this.#sending;
		}
		clearTimeout(closing);
		this.#sender.abort();
		return this.#failed - before;
	}
}
