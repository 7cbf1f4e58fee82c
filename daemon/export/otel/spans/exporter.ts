// SPDX-License-Identifier: Apache-2.0
/** The SDK's last stage: sends batches of spans. */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { type BatchOutcome, BatchSender } from '../batch_sender.ts';
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

/**
 * Creates an exporter. `onBatchDone` is called once for each batch: when it was accepted, refused,
 * or given up at the end.
 */
export function createExporter(
	receiver: Receiver<ReadableSpan[]>,
	health: SignalHealth,
	onBatchDone: (outcome: BatchOutcome) => void,
): SpanExporter & { abort(): void } {
	const sender = new BatchSender(receiver, health);
	const inFlight = new Set<Promise<void>>();

	return {
		export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
			const sending = sender.send(spans, spans.length).then((outcome) => {
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
		abort: () => sender.abort(),
	};
}
