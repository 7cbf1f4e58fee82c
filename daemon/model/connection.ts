// SPDX-License-Identifier: Apache-2.0
/** A connection as toascope knows it: struct connection of bpf/connection.h, decoded. */
import type { ClientEndpoint, Endpoint } from './address.ts';
import type { Sample } from './sampling.ts';
import type { AcceptObservation, Segment, Verdict } from './snapshot.ts';

/**
 * The process that accepted it. `by: 'listener'`: accept() was not observed, and this is the
 * process that listens.
 */
export interface Owner {
	readonly by: 'accept' | 'listener';
	readonly pid: number;
	readonly comm: string;
	/** Id of the process's cgroup (inode number in cgroup v2); 0n when unknown. */
	readonly cgroupId: bigint;
}

/** The address at the balancer that the client connected to. */
export interface VirtualServer {
	/** The port is undefined where the option carries none. */
	readonly endpoint: ClientEndpoint;
	/** Number of the virtual network (VNI, VPC id) that its address is in. */
	readonly vni: number | undefined;
}

export interface Connection {
	/** Socket cookie: unique while the machine is up. */
	readonly cookie: bigint;
	/** Inode number of the network namespace. */
	readonly netns: number;
	readonly local: Endpoint;
	/** The other end of the socket: the balancer or the NAT64 gateway. */
	readonly peer: Endpoint;
	/** Undefined if no trusted option named a client. */
	readonly client: ClientEndpoint | undefined;
	/** Undefined if no trusted option named a virtual server. */
	readonly virtualServer: VirtualServer | undefined;
	readonly verdict: Verdict;
	readonly profile: string | undefined;
	readonly segment: Segment | undefined;
	readonly state: 'open' | 'closed';
	/** CLOCK_MONOTONIC nanoseconds. */
	readonly openedNs: bigint;
	readonly acceptedNs: bigint | undefined;
	readonly closedNs: bigint | undefined;
	/** How accept() was observed; undefined before it. */
	readonly seen: AcceptObservation | undefined;
	readonly owner: Owner | undefined;
	/** Payload. For an open connection, at most 15 s old. */
	readonly receivedBytes: bigint;
	readonly sentBytes: bigint;
	readonly retransmittedSegments: number;
	/** The kernel's smoothed RTT in microseconds; undefined before the first sample. */
	readonly srttUs: number | undefined;
	/**
	 * Why it ended other than in an orderly way, as the name of an errno: ECONNRESET (the peer reset
	 * it), ECONNABORTED (the server did), ETIMEDOUT, a routing error. Undefined: still open, ended
	 * after the server's FIN other than by a time-out, or its end was not observed.
	 */
	readonly error: string | undefined;
}

export type EventType = 'opened' | 'accepted' | 'closed';

export interface ConnectionEvent {
	readonly type: EventType;
	readonly connection: Connection;
	/** Undefined: the connection is not sampled, or records of sampled connections are not enabled. */
	readonly sample: Sample | undefined;
}
