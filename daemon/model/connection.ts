// SPDX-License-Identifier: Apache-2.0
/** A connection as toascope knows it: struct connection of bpf/records.h, decoded. */
import type { ClientEndpoint, Endpoint } from './address.ts';
import type { Seen, Segment, Verdict } from './snapshot.ts';

/** Who accepted it. `by: 'listener'` says that the accept was not seen and this is the listener's process. */
export interface Owner {
	readonly by: 'accept' | 'listener';
	readonly pid: number;
	readonly comm: string;
	/** Id of the process's cgroup (inode number in cgroup v2); '0' when unknown. */
	readonly cgroupId: bigint;
}

/** What the client called, at the balancer. */
export interface VirtualServer {
	/** Its port is undefined where the option carries none. */
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
	/** The other end as the kernel sees it: the NAT64 or the balancer. */
	readonly peer: Endpoint;
	/** The real client; undefined without a believable TOA. */
	readonly client: ClientEndpoint | undefined;
	/** Undefined: no believable option named one. */
	readonly virtualServer: VirtualServer | undefined;
	readonly verdict: Verdict;
	readonly profile: string | undefined;
	readonly segment: Segment | undefined;
	readonly state: 'open' | 'closed';
	/** CLOCK_MONOTONIC nanoseconds. */
	readonly openedNs: bigint;
	readonly acceptedNs: bigint | undefined;
	readonly closedNs: bigint | undefined;
	/** How the accept was observed; undefined before it. */
	readonly seen: Seen | undefined;
	readonly owner: Owner | undefined;
	/** Payload. Of an open connection: as of at most 15 s ago. */
	readonly receivedBytes: bigint;
	readonly sentBytes: bigint;
	readonly retransmittedSegments: number;
	/** The kernel's smoothed RTT in microseconds; undefined before the first sample. */
	readonly srttUs: number | undefined;
}

export type ConnectionEvent = { readonly type: 'opened' | 'accepted' | 'closed'; readonly connection: Connection };
