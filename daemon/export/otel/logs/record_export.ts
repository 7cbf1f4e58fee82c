// SPDX-License-Identifier: Apache-2.0
/**
 * Sends a record of each connection with a client as an OTLP log record: when it closes, and while
 * it is open each time that it is read.
 */
import type { Logger } from 'pino';
import { logLine } from '../../../log_line.ts';
import { logLines } from '../../../log_lines.ts';
import type { Connection, ConnectionEvent, Owner } from '../../../model/connection.ts';
import type { TraceIds } from '../../../model/trace_ids.ts';
import { unixNs } from '../../../model/unix_ns.ts';
import type { OtelBatches } from '../../../otel_environment.ts';
import { BatchSender } from '../batch_sender.ts';
import { laterAttributes, startAttributes, wallTime } from '../connection_attributes.ts';
import type { Receiver } from '../receiver.ts';
import type { SignalHealth } from '../signal_health.ts';
import type { Records } from './codec.ts';
import { RecordWriter } from './record_writer.ts';

export interface RecordOptions {
	readonly receiver: Receiver<Records>;
	readonly health: SignalHealth;
	readonly batches: OtelBatches;
	/** Converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970. */
	readonly clock: (monotonicNs: bigint) => bigint;
	/** The ids of a connection's span. */
	readonly traceIds: (connection: Connection) => TraceIds;
	/** Returns the id of the owner's container; called when an owner is first seen and at close. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	readonly logger: Logger;
}

export interface RecordStats {
	/** Made, but neither exported nor dropped yet: at most OTEL_BLRP_MAX_QUEUE_SIZE. */
	readonly pending: number;
	/** Dropped records, by the reason of `toascope_drops_total`. */
	readonly dropped: { readonly log_queue_full: bigint; readonly log_export_failed: bigint };
}

const EVENT_NAME = 'toascope.connection';

export class RecordExport {
	readonly #options: RecordOptions;
	readonly #sender: BatchSender<Records>;
	readonly #writer = new RecordWriter();
	readonly #maxBatch: number;
	/** Encoded records that are in no request yet. */
	#queue: Buffer[] = [];
	/** Records of the request in progress. */
	#inFlight = 0;
	#sending: Promise<void> | undefined;
	#timer: NodeJS.Timeout | undefined;
	#ending: Promise<void> | undefined;
	#queueFull = 0n;
	#exportFailed = 0n;

	constructor(options: RecordOptions) {
		const { receiver, health, batches } = options;
		this.#options = options;
		this.#sender = new BatchSender(receiver, health);
		this.#maxBatch = Math.min(batches.maxBatch, batches.maxQueue);
	}

	/** Handles an event; makes the record when it closes a connection with a client. Never waits. */
	onEvent({ type, connection, sample }: ConnectionEvent): void {
		const { client, closedNs, owner } = connection;
		if (client === undefined) return;
		// resolved early, while the process still exists; the result is cached
		if (type === 'accepted' && owner !== undefined) this.#options.resolveContainer(owner);
		if (type === 'closed' && closedNs !== undefined) this.#add(connection, closedNs, sample !== undefined);
	}

	/** Makes a record of an open connection with a client. `atNs`: now, CLOCK_MONOTONIC. */
	onOpen(connection: Connection, atNs: bigint): void {
		if (connection.client !== undefined) this.#add(connection, atNs, false);
	}

	stats(): RecordStats {
		return {
			pending: this.#queue.length + this.#inFlight,
			dropped: { log_queue_full: this.#queueFull, log_export_failed: this.#exportFailed },
		};
	}

	/** Sends the remaining records, for at most `timeoutMs`. */
	shutdown(timeoutMs: number): Promise<void> {
		this.#ending ??= this.#end(timeoutMs);
		return this.#ending;
	}

	/** `sampled`: the connection is known to have a span. */
	#add(connection: Connection, atNs: bigint, sampled: boolean): void {
		const { maxQueue, delayMs } = this.#options.batches;
		if (this.#ending !== undefined) return;
		if (this.#queue.length + this.#inFlight >= maxQueue) {
			this.#queueFull++;
			return;
		}
		this.#queue.push(this.#encode(connection, atNs, sampled));
		if (this.#sending !== undefined) return;
		if (this.#queue.length >= this.#maxBatch) this.#send();
		else this.#timer ??= setTimeout(() => this.#send(), delayMs).unref();
	}

	#encode(connection: Connection, atNs: bigint, sampled: boolean): Buffer {
		const { clock, traceIds, resolveContainer } = this.#options;
		const { owner } = connection;
		const wallNs = wallTime(connection, clock);
		return this.#writer.encode({
			eventName: EVENT_NAME,
			timeNs: wallNs(atNs),
			observedNs: unixNs(),
			...traceIds(connection),
			sampled,
			attributes: {
				...startAttributes(connection),
				...laterAttributes(connection, owner === undefined ? undefined : resolveContainer(owner)),
				'toascope.state': connection.state,
				'toascope.opened_unix_nano': wallNs(connection.openedNs),
			},
		});
	}

	/** Sends what waits, one request at a time, until less than a batch is left. */
	#send(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#sending ??= this.#sendBatches().then(() => {
			this.#sending = undefined;
			// at the end, the next batch is sent by the one that waits for this one
			if (this.#queue.length === 0 || this.#ending !== undefined) return;
			this.#timer = setTimeout(() => this.#send(), this.#options.batches.delayMs).unref();
		});
	}

	async #sendBatches(): Promise<void> {
		do {
			const records = this.#queue.splice(0, this.#maxBatch);
			this.#inFlight = records.length;
			const { failed } = await this.#sender.send(records, records.length);
			this.#inFlight = 0;
			this.#exportFailed += BigInt(failed);
		} while (this.#queue.length >= this.#maxBatch);
	}

	async #end(timeoutMs: number): Promise<void> {
		const before = this.#exportFailed;
		const closing = setTimeout(() => this.#sender.abort(), timeoutMs);
		// an aborted sender gives up each batch at once, so this ends soon after the limit
		while (this.#queue.length + this.#inFlight > 0) {
			this.#send();
			await this.#sending;
		}
		clearTimeout(closing);
		this.#sender.abort();
		const lost = this.#exportFailed - before;
		if (lost > 0n) logLine(this.#options.logger, logLines.recordsLost, { records: lost });
	}
}
