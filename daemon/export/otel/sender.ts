// SPDX-License-Identifier: Apache-2.0
/** Sends a request by an exporter of the OpenTelemetry packages. */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { OtelSignal } from '../../otel_environment.ts';
import { type ExportError, isRetryable, readable, retryDelayMs } from './export_error.ts';
import type { Outcome, SignalCodec } from './receiver.ts';

/** What is used of an exporter of the OpenTelemetry packages. */
export interface Delegate<Items> {
	export(items: Items, done: (result: ExportResult) => void): void;
	shutdown(): Promise<void>;
}

/** What the packages call the items of a signal. */
export const itemNames = {
	metrics: 'metric_data_point',
	traces: 'span',
	logs: 'log',
} as const satisfies Record<OtelSignal, string>;

/** How much longer than the limit of the packages a request can take: theirs says more. */
const graceMs = 500;

/** Sends by a delegate, within its time limit, and reads what the response says about the items. */
export class Sender<Items> {
	readonly #codec: SignalCodec<Items>;
	readonly #json: boolean;
	/** What the response being handled says: the delegate reports its end in the same call. */
	#response = { rejected: 0, message: '' };

	constructor(codec: SignalCodec<Items>, json: boolean) {
		this.#codec = codec;
		this.#json = json;
	}

	readonly serializer = {
		serializeRequest: (items: Items) => this.#codec.serialize(items, this.#json),
		deserializeResponse: (body: Uint8Array) => {
			// a response that cannot be read counts as none rejected
			this.#response = { rejected: 0, message: '' };
			this.#response = this.#codec.readResponse(body, this.#json);
			// the packages would log a partial success with each request
			return {};
		},
	};

	/**
	 * `onTimeout`: ends the connections. The limit of the packages does not cover connecting, nor a
	 * response that arrives byte by byte.
	 */
	send(delegate: Delegate<Items>, items: Items, limitMs: number, onTimeout: () => void): Promise<Outcome> {
		return new Promise((resolve) => {
			const settle = (outcome: Outcome) => {
				clearTimeout(limit);
				resolve(outcome);
			};
			const failed = (error: ExportError) =>
				settle({
					rejected: 0,
					error: readable(error),
					retryable: isRetryable(error),
					delayMs: retryDelayMs(error) ?? 0,
					message: '',
				});
			const limit = setTimeout(() => {
				const error = new Error(`no response within ${limitMs} ms`);
				settle({ rejected: 0, error, retryable: true, delayMs: 0, message: '' });
				onTimeout();
			}, limitMs + graceMs);
			try {
				delegate.export(items, ({ code, error }) => {
					if (code !== ExportResultCode.SUCCESS) {
						failed(error ?? new Error('the export failed'));
						return;
					}
					const { rejected, message } = this.#response;
					this.#response = { rejected: 0, message: '' };
					settle({ rejected, message, error: undefined, retryable: false, delayMs: 0 });
				});
			} catch (error) {
				failed(error as Error);
			}
		});
	}
}
