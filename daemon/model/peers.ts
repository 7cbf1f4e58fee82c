// SPDX-License-Identifier: Apache-2.0
/** The peers of the connections of the last minutes, by verdict. */
import type { FinalVerdict } from './snapshot.ts';

/** A peer: a balancer, a NAT64 gateway, or a client that connected directly. */
export interface PeerCount {
	readonly address: string;
	readonly verdict: FinalVerdict;
	/** One of the listeners that it connected to: `ADDR:PORT`. */
	readonly listener: string;
	/** Whether it is in a network of `trust`; false if `trust` is empty. */
	readonly trusted: boolean;
	readonly connections: number;
}

export interface Peers {
	/** Connections that were read: open, or closed within `connections.retain`. */
	readonly connections: number;
	/** For each verdict the peers with the most connections, the busiest first. */
	readonly busiest: readonly PeerCount[];
	/**
	 * The listening sockets on watched ports, one for each address; empty where the kernel does not
	 * show them.
	 */
	readonly listening: readonly ListeningSocket[];
}

export interface ListeningSocket {
	/** `ADDR:PORT`. */
	readonly local: string;
	readonly pid: number;
	readonly comm: string;
	/**
	 * The kernel holds its connections back until data arrives (TCP_DEFER_ACCEPT), and drops the
	 * bare ACK.
	 */
	readonly defers_accept: boolean;
}
