// SPDX-License-Identifier: Apache-2.0
/** OTLP/HTTP, with bodies in protobuf or JSON. */
import type { Agent } from 'node:http';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import type { Outcome, Receiver, ReceiverOptions, SignalCodec } from './receiver.ts';
import { type Delegate, itemNames, Sender } from './sender.ts';

export class HttpReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #delegate: Delegate<Items>;
	readonly #agents: Agent[] = [];
	readonly #limitMs: number;

	constructor({ signal, endpoint, protocol, headers, limitMs, version }: ReceiverOptions, codec: SignalCodec<Items>) {
		const json = protocol === 'http/json';
		const path = `v1/${signal}`;
		const url = endpoint === undefined ? {} : { url: urlBelow(endpoint, path) };
		const fixed = { ...url, userAgent: `toascope/${version}` };
		const options = convertLegacyHttpOptions(fixed, signal.toUpperCase(), path, {
			'Content-Type': json ? 'application/json' : 'application/x-protobuf',
		});
		this.url = new URL(options.url).href;
		this.#limitMs = Math.min(options.timeoutMillis, limitMs);
		this.#sender = new Sender(codec, json);
		this.#delegate = createOtlpHttpExportDelegate(
			{
				...options,
				timeoutMillis: this.#limitMs,
				headers: async () => ({ ...(await options.headers()), ...headers?.read() }),
				agentFactory: async (protocol) => {
					const agent = await options.agentFactory(protocol);
					this.#agents.push(agent);
					return agent;
				},
			},
			this.#sender.serializer,
			`otlp_http_${signal}_exporter`,
			{ name: itemNames[signal], countItems: codec.count },
			undefined,
		);
	}

	send(items: Items): Promise<Outcome> {
		return this.#sender.send(this.#delegate, items, this.#limitMs, () => this.close());
	}

	/** Ends the requests in progress. */
	close(): void {
		for (const agent of this.#agents) agent.destroy();
	}
}

function urlBelow(base: string, path: string): string {
	const url = new URL(base);
	url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`;
	return url.href;
}
