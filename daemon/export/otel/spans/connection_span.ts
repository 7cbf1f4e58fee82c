// SPDX-License-Identifier: Apache-2.0
/** The contents of a connection's span. */
import type { Connection } from '../../../model/connection.ts';
import { type Attributes, laterAttributes, startAttributes, wallTime } from '../connection_attributes.ts';

/** Seconds and nanoseconds since 1970: a form of time that the SDK does not round. */
export type SpanTime = [seconds: number, nanoseconds: number];

/** What is added to a connection's span at its end; the span began when the connection opened. */
export interface ConnectionSpan {
	/** Unix nanoseconds. */
	readonly endNs: bigint;
	readonly attributes: Record<string, string | number>;
	readonly events: readonly { readonly name: string; readonly time: SpanTime }[];
}

/**
 * No convention covers an accepted connection. Related ones (`DNS lookup`, `TLS client handshake`)
 * name the protocol and the operation but no address, because span names must have few values.
 */
export const SPAN_NAME = 'TCP connection';
const ACCEPTED_EVENT = 'toascope.connection.accepted';

const NS_PER_S = 1_000_000_000n;

/** Splits Unix nanoseconds exactly; a single Number is inexact, because they exceed 2^53. */
export function spanTime(unixNs: bigint): SpanTime {
	return [Number(unixNs / NS_PER_S), Number(unixNs % NS_PER_S)];
}

/** The attributes that are known when a connection opens, for the sampler. */
export function spanStartAttributes(connection: Connection): Record<string, string | number> {
	return inexact(startAttributes(connection));
}

/** The SDK has no wider numbers: integers are exact below 2^53, for bytes 9 PB in one connection. */
function inexact(attributes: Attributes): Record<string, string | number> {
	return Object.fromEntries(
		Object.entries(attributes).map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]),
	);
}

/**
 * The rest of the span of a closed connection with a client, or undefined for any other.
 * @param unixNs converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970
 */
export function connectionSpan(
	connection: Connection,
	unixNs: (monotonicNs: bigint) => bigint,
	containerId: string | undefined,
): ConnectionSpan | undefined {
	const { client, acceptedNs, closedNs } = connection;
	if (client === undefined || closedNs === undefined) return undefined;
	const wallNs = wallTime(connection, unixNs);
	return {
		endNs: wallNs(closedNs),
		attributes: inexact(laterAttributes(connection, containerId)),
		events: acceptedNs === undefined ? [] : [{ name: ACCEPTED_EVENT, time: spanTime(wallNs(acceptedNs)) }],
	};
}
