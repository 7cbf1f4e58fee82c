// SPDX-License-Identifier: Apache-2.0
/** Whose connections they are: the peers of those that were open in the last minutes, by the verdict on them. */
import type { Result } from './snapshot.ts';

/** A peer: a balancer, a NAT64, or a client that came past them. */
export interface PeerCount {
	readonly address: string;
	readonly verdict: Result;
	/** One of its listeners: `ADDR:PORT`. */
	readonly listener: string;
	/** It is in a network of `trust`; false where that is empty. */
	readonly trusted: boolean;
	readonly connections: number;
}

export interface Peers {
	/** Connections that were looked at: open, or closed within `connections.retain`. */
	readonly connections: number;
	/** For each verdict those with the most connections, the busiest first. */
	readonly busiest: readonly PeerCount[];
}
