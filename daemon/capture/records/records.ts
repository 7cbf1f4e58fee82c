// SPDX-License-Identifier: Apache-2.0
/**
 * Reads and writes the records of bpf/records.h as bytes. Their offsets come from layout.gen.ts.
 */
import { getSystemErrorName } from 'node:util';
import { type ClientEndpoint, type Endpoint, type Family, formatAddress } from '../../model/address.ts';
import type { Connection, ConnectionEvent, Owner, VirtualServer } from '../../model/connection.ts';
import { type Sample, sampleAll } from '../../model/sampling.ts';
import type { AcceptObservation, Histogram, Segment, Verdict } from '../../model/snapshot.ts';
import { type Traffic, trafficFields, trafficOf } from '../../model/traffic.ts';
import {
	acceptKind,
	connectionLayout as connection,
	connectionFlag,
	constant,
	endpointLayout,
	eventLayout,
	eventType,
	firstBound,
	histogramLayout,
	sampledBy,
	toaClientLayout as toaClient,
	trafficLayout,
	toaVirtualLayout as virtual,
} from './layout.gen.ts';

export const verdicts: readonly Verdict[] = ['pending', 'toa', 'none', 'malformed', 'untrusted', 'conflict'];
export const segments: readonly Segment[] = ['syn', 'ack', 'data'];
export const seens: readonly AcceptObservation[] = ['fexit', 'getpeername', 'unseen'];
/** Verdicts with which the client in the option is the connection's client. */
const hasClient: ReadonlySet<Verdict | 'pending'> = new Set(['toa', 'conflict']);

/** Encodes a 32-bit key or value of a map. */
export function u32(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
}

/** Reads struct endpoint; undefined for family FAMILY_NONE. */
export function readEndpoint(bytes: Buffer, at: number): Endpoint | undefined {
	const family = bytes[at + endpointLayout.family];
	if (family !== 4 && family !== 6) return undefined;
	const start = at + endpointLayout.address;
	const text = formatAddress(family, bytes.subarray(start, start + 16));
	return { family, text, port: bytes.readUInt16LE(at + endpointLayout.port) };
}

/** Reads struct toa_client; the port is undefined if the option had none. */
function readClient(bytes: Buffer, at: number): ClientEndpoint | undefined {
	const family = bytes[at + toaClient.family];
	if (family !== 4 && family !== 6) return undefined;
	const start = at + toaClient.address;
	const port = bytes.readUInt16LE(at + toaClient.port);
	const text = formatAddress(family, bytes.subarray(start, start + 16));
	return { family, text, port: port === 0 ? undefined : port };
}

/** Reads struct toa_virtual; undefined for family 0. */
export function readVirtualServer(bytes: Buffer, at: number): VirtualServer | undefined {
	const family = bytes[at + virtual.family];
	if (family !== 4 && family !== 6) return undefined;
	const start = at + virtual.address;
	const port = bytes.readUInt16LE(at + virtual.port);
	return {
		endpoint: {
			family,
			text: formatAddress(family, bytes.subarray(start, start + 16)),
			port: port === 0 ? undefined : port,
		},
		vni: bytes[at + virtual.hasVni] === 0 ? undefined : bytes.readUInt32LE(at + virtual.vni),
	};
}

/** Writes struct endpoint from the bytes of an address (4 or 16). */
export function writeEndpoint(
	bytes: Buffer,
	at: number,
	endpoint: { readonly family: Family; readonly address: ArrayLike<number>; readonly port: number },
): void {
	bytes.fill(0, at, at + endpointLayout.size);
	for (let i = 0; i < endpoint.address.length; i++) bytes[at + endpointLayout.address + i] = endpoint.address[i] ?? 0;
	bytes.writeUInt16LE(endpoint.port, at + endpointLayout.port);
	bytes[at + endpointLayout.family] = endpoint.family;
}

export function readTraffic(bytes: Buffer, at: number): Traffic {
	return trafficOf((field) => bytes.readBigUInt64LE(at + trafficLayout[field]));
}

export function writeTraffic(bytes: Buffer, at: number, traffic: Traffic): void {
	for (const field of trafficFields) bytes.writeBigUInt64LE(traffic[field], at + trafficLayout[field]);
}

/** The bounds of a histogram of bpf/records.h: each is twice the one before. */
function histogramBounds(first: number): readonly bigint[] {
	return Array.from({ length: constant.HISTOGRAM_BUCKETS - 1 }, (_, i) => BigInt(first) << BigInt(i));
}

export const bounds = {
	rtt: histogramBounds(firstBound.RTT_FIRST_NS),
	duration: histogramBounds(firstBound.DURATION_FIRST_NS),
	acceptWait: histogramBounds(firstBound.ACCEPT_WAIT_FIRST_NS),
} as const;

export function readHistogram(bytes: Buffer, at: number, boundsNs: readonly bigint[]): Histogram {
	const buckets = Array.from({ length: constant.HISTOGRAM_BUCKETS }, (_, i) =>
		bytes.readBigUInt64LE(at + histogramLayout.buckets + 8 * i),
	);
	return { sumNs: bytes.readBigUInt64LE(at + histogramLayout.sumNs), buckets, boundsNs };
}

export function readText(bytes: Buffer, at: number, size: number): string {
	const end = bytes.indexOf(0, at);
	return bytes.toString('utf8', at, end < 0 || end > at + size ? at + size : end);
}

function readOwner(bytes: Buffer, at: number): Owner | undefined {
	const observed = bytes[at + connection.acceptKind];
	const pid = bytes.readUInt32LE(at + connection.pid);
	if (pid === 0 || (observed !== acceptKind.ACCEPT_FEXIT && observed !== acceptKind.ACCEPT_GETPEERNAME))
		return undefined;
	const comm = readText(bytes, at + connection.comm, constant.COMM_SIZE);
	return { by: 'accept', pid, comm, cgroupId: bytes.readBigUInt64LE(at + connection.cgroupId) };
}

/** Parts of a connection that are not in its table entry. */
export interface OtherParts {
	readonly local: Endpoint | undefined;
	readonly virtualServer: VirtualServer | undefined;
}

/**
 * Reads struct connection; undefined if its slot was never used. `profileName` names a profile by
 * its id.
 */
export function readConnection(
	bytes: Buffer,
	at: number,
	profileName: (id: number) => string | undefined,
	{ local, virtualServer }: OtherParts,
): Connection | undefined {
	const peer = readEndpoint(bytes, at + connection.peer);
	const cookie = bytes.readBigUInt64LE(at + connection.cookie);
	if (local === undefined || peer === undefined || cookie === 0n) return undefined;
	const verdict = verdicts[bytes[at + connection.verdict] ?? 0] ?? 'pending';
	const client = hasClient.has(verdict) ? readClient(bytes, at + connection.client) : undefined;
	const profile = client === undefined ? 0 : bytes[at + connection.client + toaClient.profile];
	const owner = readOwner(bytes, at);
	const acceptedNs = owner === undefined ? 0n : bytes.readBigUInt64LE(at + connection.acceptedNs);
	const closedNs = bytes.readBigUInt64LE(at + connection.closedNs);
	const isOpen = closedNs === 0n;
	// the final counts are written at the close; until then their fields can have those of the
	// slot's previous connection
	const [receivedAt, sentAt, retransmittedAt] = isOpen
		? [connection.countedReceived, connection.countedSent, connection.countedRetransmitted]
		: [connection.receivedBytes, connection.sentBytes, connection.retransmittedSegments];
	const isMeasured = !isOpen || (bytes.readUInt16LE(at + connection.flags) & connectionFlag.CONN_SWEPT) !== 0;
	const srttUs = isMeasured ? bytes.readUInt32LE(at + connection.srttUs) : 0;
	const error = isOpen ? 0 : bytes.readUInt16LE(at + connection.error);
	return {
		cookie,
		netns: bytes.readUInt32LE(at + connection.netns),
		local,
		peer,
		client,
		virtualServer,
		verdict,
		profile: profileName(profile ?? 0),
		segment: segments[(bytes[at + connection.segment] ?? 0) - 1],
		state: isOpen ? 'open' : 'closed',
		openedNs: bytes.readBigUInt64LE(at + connection.openedNs),
		acceptedNs: acceptedNs === 0n ? undefined : acceptedNs,
		closedNs: isOpen ? undefined : closedNs,
		seen: seens[(bytes[at + connection.acceptKind] ?? 0) - 1],
		owner,
		receivedBytes: bytes.readBigUInt64LE(at + receivedAt),
		sentBytes: bytes.readBigUInt64LE(at + sentAt),
		retransmittedSegments: bytes.readUInt32LE(at + retransmittedAt),
		srttUs: srttUs < 8 ? undefined : srttUs >> 3,
		error: error === 0 ? undefined : getSystemErrorName(-error),
	};
}

const eventTypes: Readonly<Record<number, ConnectionEvent['type']>> = {
	[eventType.EVENT_OPENED]: 'opened',
	[eventType.EVENT_ACCEPTED]: 'accepted',
	[eventType.EVENT_CLOSED]: 'closed',
};

function readSample(bytes: Buffer, at: number): Sample | undefined {
	const by = bytes.readUInt16LE(at + eventLayout.sampledBy);
	if (by === sampledBy.SAMPLED_BY_CONDITION) return { by: 'condition', threshold: sampleAll };
	if (by !== sampledBy.SAMPLED_BY_RATIO) return undefined;
	return { by: 'ratio', threshold: bytes.readBigUInt64LE(at + eventLayout.sampleThreshold) };
}

/** Reads struct event; undefined if its type or its connection cannot be decoded. */
export function readEvent(
	bytes: Buffer,
	at: number,
	profileName: (id: number) => string | undefined,
): ConnectionEvent | undefined {
	const type = eventTypes[bytes.readUInt16LE(at + eventLayout.type)];
	const otherParts = {
		local: readEndpoint(bytes, at + eventLayout.local),
		virtualServer: readVirtualServer(bytes, at + eventLayout.virtualServer),
	};
	const record = readConnection(bytes, at + eventLayout.connection, profileName, otherParts);
	if (type === undefined || record === undefined) return undefined;
	return { type, connection: record, sample: readSample(bytes, at) };
}
