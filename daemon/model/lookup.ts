// SPDX-License-Identifier: Apache-2.0
/** The query of a lookup. */
import type { Endpoint } from './address.ts';

export interface LookupQuery {
	/** The other end of the server's socket: the balancer or the NAT64 gateway. */
	readonly peer: Endpoint;
	readonly local?: Endpoint | undefined;
	/** Inode number of a network namespace. */
	readonly netns?: number | undefined;
	/** Only connections that were open at one of these times: CLOCK_MONOTONIC nanoseconds. */
	readonly atNs?: readonly bigint[] | undefined;
}
