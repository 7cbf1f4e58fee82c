// SPDX-License-Identifier: Apache-2.0
/**
 * The attributes of OpenTelemetry that name a client: `client.address` and `client.port` of the
 * semantic conventions. `network.peer.*` stays the peer (the balancer).
 */
import type { IncomingMessage } from 'node:http';
import { type Client, clientOf } from './client.ts';
import type { ConnectionSource } from './descriptor.ts';

export type ClientAttributes = Record<string, string | number>;

export function attributesOf({ address, port }: Client): ClientAttributes {
	return port === null ? { 'client.address': address } : { 'client.address': address, 'client.port': port };
}

/**
 * Returns the attributes for a span of your own: `span.setAttributes(clientAttributes(socket))`.
 * Empty if clientOf() returns undefined.
 */
export function clientAttributes(source: ConnectionSource): ClientAttributes {
	const client = clientOf(source);
	return client === undefined ? {} : attributesOf(client);
}

/**
 * `startIncomingSpanHook` of `@opentelemetry/instrumentation-http`. The instrumentation merges the
 * hook's attributes over its own, so they replace what it derived from the peer or from
 * `X-Forwarded-For`, and samplers see them.
 *
 * @example
 * new HttpInstrumentation({ startIncomingSpanHook: incomingSpanHook });
 */
export function incomingSpanHook(request: IncomingMessage): ClientAttributes {
	return clientAttributes(request);
}
