// SPDX-License-Identifier: Apache-2.0
/** The client of the request that the running code handles. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { type Client, clientOf } from './client.ts';
import type { ConnectionSource } from './descriptor.ts';

/**
 * It holds the client and not the socket: connections to databases and the like that a handler
 * opens keep their context, and with it the socket, for as long as they live.
 */
const storage = new AsyncLocalStorage<Client | undefined>();

/**
 * Node publishes on these channels before it calls any handler, in the asynchronous context of the
 * request. That of HTTP/2 exists since Node 24; on older ones it stays silent.
 */
const channels = { 'http.server.request.start': 'request', 'http2.server.stream.start': 'stream' } as const;

let follows = false;

/** From now on, currentClient() knows the client of each request that arrives. */
export function followRequests(): void {
	if (follows) return;
	follows = true;
	for (const [channel, field] of Object.entries(channels)) {
		subscribe(channel, (message) => {
			storage.enterWith(clientOf((message as Record<string, ConnectionSource>)[field] as ConnectionSource));
		});
	}
}

/** The client of the current request; undefined if it has none, or outside of a request. */
export function currentClient(): Client | undefined {
	return storage.getStore();
}
