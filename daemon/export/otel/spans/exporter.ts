// SPDX-License-Identifier: Apache-2.0
/** The SDK's last stage: sends a batch of spans, and again while the receiver is away. */
import { setTimeout as delay } from 'node:timers/promises';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Receiver, SignalCodec } from '../receiver.ts';
import type { SignalHealth } from '../signal_health.ts';

export const spansCodec: SignalCodec<ReadableSpan[]> = {
	serialize(spans, json) {
		const request = serializerOf(json).serializeRequest(spans);
		if (request === undefined) throw new Error('the spans could not be serialized');
		return request;
	},
	readResponse(body, json) {
		const { partialSuccess } = serializerOf(json).deserializeResponse(body);
		return { rejected: Number(partialSuccess?.rejectedSpans ?? 0), message: partialSuccess?.errorMessage ?? '' };
	},
	count: (spans) => spans.length,
};

function serializerOf(json: boolean) {
	return json ? JsonTraceSerializer : ProtobufTraceSerializer;
}

/** The pauses after the packages have given up a request: each is twice the one before. */
const firstPauseMs = 1000;
const lastPauseMs = 30_000;

/** What became of a batch. */
export interface BatchOutcome {
	readonly exported: number;
	readonly failed: number;
}

/**
 * Creates an exporter. `onBatchDone` is called once for each batch: when it was accepted, refused,
 * or given up at the end.
 */
export function createExporter(
	receiver: Receiver<ReadableSpan[]>,
	health: SignalHealth,
	onBatchDone: (outcome: BatchOutcome) => void,
): SpanExporter & { abort(): void } {
	const ending = new AbortController();
	const aborted = new Promise<undefined>((resolve) =>
		ending.signal.addEventListener('abort', () => resolve(undefined)),
	);
	const inFlight = new Set<Promise<void>>();

	async function send(spans: ReadableSpan[]): Promise<BatchOutcome> {
		for (let pauseMs = firstPauseMs; !ending.signal.aborted; pauseMs = Math.min(2 * pauseMs, lastPauseMs)) {
			// the packages cannot cancel a request
			const outcome = await Promise.race([receiver.send(spans), aborted]);
			if (outcome === undefined) break;
			const exported = health.count(spans.length, outcome);
			health.settle(outcome.error);
			if (outcome.error === undefined || !outcome.retryable) return { exported, failed: spans.length - exported };
			// at random, so that not all daemons of a fleet return to a receiver at once
			const waitMs = outcome.delayMs + pauseMs * (0.5 + Math.random() / 2);
			await delay(waitMs, undefined, { signal: ending.signal }).catch(() => {});
		}
		return { exported: 0, failed: spans.length };
	}

	return {
		export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
			const sending = send(spans).then((outcome) => {
				inFlight.delete(sending);
				onBatchDone(outcome);
				// always success: failures are counted and logged already, and the SDK would log
				// them again
				done({ code: ExportResultCode.SUCCESS });
			});
			inFlight.add(sending);
		},
		async shutdown() {
			await Promise.all(inFlight);
		},
		/** Gives up what has not been accepted. */
		abort() {
			ending.abort();
			receiver.close();
		},
	};
}
