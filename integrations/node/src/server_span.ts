// SPDX-License-Identifier: Apache-2.0
/** Names the client on a SERVER span that exists already. */
import { attributesOf } from './attributes.ts';
import type { Client } from './client.ts';

/**
 * What happens if the span already names a client that is not its peer, as from `X-Forwarded-For`:
 *
 * - `always`: it is replaced, and kept as `toascope.client.address.claimed`. A client can write
 *   what it likes into a header, but not into the balancer's option.
 * - `absent`: it stays. Right where HTTP proxies (a CDN) in front of the balancer write the header,
 *   since the balancer's client is then such a proxy.
 */
export type Policy = 'always' | 'absent';

/** The part of an SDK's span that is used. */
export interface ServerSpan {
	readonly kind: number;
	readonly attributes: Readonly<Record<string, unknown>>;
	setAttribute(key: string, value: string | number): unknown;
}

/** SpanKind.SERVER of the OpenTelemetry API. */
export const serverKind = 1;

/** Sets `client.address` and `client.port` by the policy. `network.peer.*` is left as it is. */
export function nameClient(span: ServerSpan, client: Client, policy: Policy): void {
	const { 'client.address': named, 'network.peer.address': peer } = span.attributes;
	if (typeof named === 'string' && named !== peer && named !== client.address) {
		if (policy === 'absent') return;
		span.setAttribute('toascope.client.address.claimed', named);
	}
	for (const [key, value] of Object.entries(attributesOf(client))) span.setAttribute(key, value);
}
