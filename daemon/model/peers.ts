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
	/** The sockets on watched ports that listen, one for each address; empty where the kernel does not show them. */
	readonly listening: readonly ListeningSocket[];
}

export interface ListeningSocket {
	/** `ADDR:PORT`. */
	readonly local: string;
	readonly pid: number;
	readonly comm: string;
	/** The kernel holds its connections back until data comes (TCP_DEFER_ACCEPT), and drops the bare ACK. */
	readonly defers_accept: boolean;
}
