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
import { BatchQueue, type BatchQueueOptions } from '../batch_queue.ts';
import { addLaterAttributes, addStartAttributes, wallTime } from '../connection_attributes.ts';
import type { ProtobufWriter } from '../protobuf_writer.ts';
import { RecordWriter } from './record_writer.ts';

export interface RecordOptions extends BatchQueueOptions {
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
	readonly #queue: BatchQueue;
	readonly #writer = new RecordWriter();

	constructor(options: RecordOptions) {
		this.#options = options;
		this.#queue = new BatchQueue(options);
	}

	/**
	 * Handles an event; makes the record when it closes a connection with a client. Never waits.
	 * `hasSpan`: the connection has a span.
	 */
	onEvent({ type, connection }: ConnectionEvent, hasSpan = false): void {
		const { client, closedNs, owner } = connection;
		if (client === undefined) return;
		// resolved early, while the process still exists; the result is cached
		if (type === 'accepted' && owner !== undefined) this.#options.resolveContainer(owner);
		if (type === 'closed' && closedNs !== undefined) this.#add(connection, closedNs, hasSpan);
	}

	/** Makes a record of an open connection with a client. `atNs`: now, CLOCK_MONOTONIC. */
	onOpen(connection: Connection, atNs: bigint): void {
		if (connection.client !== undefined) this.#add(connection, atNs, false);
	}

	stats(): RecordStats {
		const { full, failed } = this.#queue.dropped;
		return { pending: this.#queue.pending, dropped: { log_queue_full: full, log_export_failed: failed } };
	}

	/** Sends the remaining records, for at most `timeoutMs`. */
	async shutdown(timeoutMs: number): Promise<void> {
		const records = await this.#queue.end(timeoutMs);
		if (records > 0n) logLine(this.#options.logger, logLines.recordsLost, { records });
	}

	/** False: records of open connections have to wait, so that those of closed ones find room. */
	get hasRoom(): boolean {
		return this.#queue.share <= 1 / 2;
	}

	/** `sampled`: the connection is known to have a span. */
	#add(connection: Connection, atNs: bigint, sampled: boolean): void {
		this.#queue.add(() => this.#encode(connection, atNs, sampled));
	}

	#encode(connection: Connection, atNs: bigint, sampled: boolean): ProtobufWriter {
		const { clock, traceIds, resolveContainer } = this.#options;
		const { owner } = connection;
		const wallNs = wallTime(connection, clock);
		return this.#writer.encode({
			eventName: EVENT_NAME,
			timeNs: wallNs(atNs),
			observedNs: unixNs(),
			...traceIds(connection),
			sampled,
			attributes(add) {
				addStartAttributes(connection, add);
				addLaterAttributes(connection, owner === undefined ? undefined : resolveContainer(owner), add);
				add('toascope.state', connection.state);
				add('toascope.opened_unix_nano', wallNs(connection.openedNs));
			},
		});
	}
}
