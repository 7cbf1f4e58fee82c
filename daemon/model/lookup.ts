// SPDX-License-Identifier: Apache-2.0
/** The question that a lookup asks. */
import type { Endpoint } from './address.ts';

export interface LookupQuery {
	/** The other end as the server's kernel sees it: the NAT64 or the balancer. */
	readonly peer: Endpoint;
	readonly local?: Endpoint | undefined;
	/** Inode number of a network namespace. */
	readonly netns?: number | undefined;
	/** Only connections that were open at one of these times: CLOCK_MONOTONIC nanoseconds. */
	readonly atNs?: readonly bigint[] | undefined;
}
