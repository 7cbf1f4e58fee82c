// SPDX-License-Identifier: Apache-2.0
/** Sends a span of each sampled connection, when it closes. */
import type { Logger } from 'pino';
import { logLine } from '../../../log_line.ts';
import { logLines } from '../../../log_lines.ts';
import type { Connection, ConnectionEvent, Owner } from '../../../model/connection.ts';
import { formatThreshold } from '../../../model/sampling.ts';
import type { TraceIds } from '../../../model/trace_ids.ts';
import { BatchQueue, type BatchQueueOptions } from '../batch_queue.ts';
import { addLaterAttributes, addStartAttributes, wallTime } from '../connection_attributes.ts';
import type { SpanSampling } from './span_sampling.ts';
import { SpanWriter } from './span_writer.ts';

export interface SpanOptions extends BatchQueueOptions {
	/** Converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970. */
	readonly clock: (monotonicNs: bigint) => bigint;
	/** The ids of a connection's span. */
	readonly traceIds: (connection: Connection) => TraceIds;
	/** Returns the id of the owner's container; called when an owner is first seen and at close. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	/** Called for each span that is made, with its ids and its end (Unix nanoseconds). */
	readonly onSpan: (event: ConnectionEvent, ids: TraceIds, endNs: bigint) => void;
	readonly logger: Logger;
	readonly sampling: SpanSampling;
}

export interface SpanStats {
	/** Made, but neither exported nor dropped yet: at most OTEL_BSP_MAX_QUEUE_SIZE. */
	readonly pending: number;
	/**
	 * Dropped spans, by the reason of `toascope_drops_total`. Connections that are not sampled have
	 * no span, and nothing is dropped.
	 */
	readonly dropped: { readonly span_queue_full: bigint; readonly span_export_failed: bigint };
}

/**
 * No convention covers an accepted connection. Related ones (`DNS lookup`, `TLS client handshake`)
 * name the protocol and the operation but no address, because span names must have few values.
 */
const SPAN_NAME = 'TCP connection';
const ACCEPTED_EVENT = 'toascope.connection.accepted';

export class SpanExport {
	readonly sampling: SpanSampling;
	readonly #options: SpanOptions;
	readonly #queue: BatchQueue;
	readonly #writer = new SpanWriter();
	/** The tracestate of the latest span: thresholds seldom change. */
	#state = { threshold: -1n, text: '' };

	constructor(options: SpanOptions) {
		this.sampling = options.sampling;
		this.#options = options;
		this.#queue = new BatchQueue(options);
	}

	/** Handles an event; makes the span when it closes a sampled connection. Never waits. True: it has made one. */
	onEvent(event: ConnectionEvent): boolean {
		const { type, connection } = event;
		const { client, owner, closedNs } = connection;
		if (this.#queue.hasEnded || client === undefined) return false;
		const { share, isStalled } = this.#queue;
		const threshold = this.sampling.admit(event, share, isStalled || this.#options.health.isFailing);
		if (threshold === undefined) return false;
		// resolved early, while the process still exists; the result is cached
		const containerId = owner === undefined ? undefined : this.#options.resolveContainer(owner);
		if (type !== 'closed' || closedNs === undefined) return false;
		const wallNs = wallTime(connection, this.#options.clock);
		const ids = this.#options.traceIds(connection);
		const [startNs, endNs] = [wallNs(connection.openedNs), wallNs(closedNs)];
		const { acceptedNs } = connection;
		const isMade = this.#queue.add(() =>
			this.#writer.encode({
				name: SPAN_NAME,
				...ids,
				traceState: this.#traceState(threshold),
				startNs,
				endNs,
				isError: connection.error !== undefined,
				attributes(add) {
					addStartAttributes(connection, add);
					addLaterAttributes(connection, containerId, add);
				},
				events: acceptedNs === undefined ? [] : [{ name: ACCEPTED_EVENT, timeNs: wallNs(acceptedNs) }],
			}),
		);
		if (isMade) this.#options.onSpan(event, ids, endNs);
		return isMade;
	}

	#traceState(threshold: bigint): string {
		if (threshold !== this.#state.threshold) {
			this.#state = { threshold, text: `ot=th:${formatThreshold(threshold)}` };
		}
		return this.#state.text;
	}

	stats(): SpanStats {
		const { full, failed } = this.#queue.dropped;
		return { pending: this.#queue.pending, dropped: { span_queue_full: full, span_export_failed: failed } };
	}

	/** Sends the remaining spans, for at most `timeoutMs`. */
	async shutdown(timeoutMs: number): Promise<void> {
		const spans = await this.#queue.end(timeoutMs);
		if (spans > 0n) logLine(this.#options.logger, logLines.spansLost, { spans });
	}
}
