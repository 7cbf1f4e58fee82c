// SPDX-License-Identifier: Apache-2.0
/** ToascopeSpanProcessor: names the client on SERVER spans, whatever made them. */
import { currentClient, followRequests } from './current_client.ts';
import { nameClient, type Policy, type ServerSpan, serverKind } from './server_span.ts';

export interface ToascopeSpanProcessorOptions {
	/** Default: `always`. */
	readonly policy?: Policy;
}

/**
 * A span processor of the OpenTelemetry SDK. While a request of `node:http`, `node:https` or (since
 * Node 24) `node:http2` is handled, each span of kind SERVER that starts gets the client of the
 * request's connection; spans of other kinds are not touched. Give it to the SDK before the
 * processor that exports.
 *
 * @example
 * new NodeSDK({ spanProcessors: [new ToascopeSpanProcessor(), new BatchSpanProcessor(exporter)] });
 */
export class ToascopeSpanProcessor {
	readonly #policy: Policy;

	constructor({ policy = 'always' }: ToascopeSpanProcessorOptions = {}) {
		this.#policy = policy;
		followRequests();
	}

	onStart(span: ServerSpan): void {
		if (span.kind !== serverKind) return;
		const client = currentClient();
		if (client !== undefined) nameClient(span, client, this.#policy);
	}

	onEnd(): void {}

	async forceFlush(): Promise<void> {}

	async shutdown(): Promise<void> {}
}
