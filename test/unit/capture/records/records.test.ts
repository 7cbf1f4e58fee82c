// SPDX-License-Identifier: Apache-2.0
/** Kernel records, decoded from hand-made bytes. */
import { describe, expect, it } from 'vitest';
import { readListening } from '../../../../daemon/capture/listening.ts';
import {
	connectionFlag,
	connectionLayout,
	constant,
	endpointLayout,
	eventLayout,
	histogramLayout,
	ownerLayout,
	toaClientLayout,
	toaVirtualLayout,
	trafficLayout,
} from '../../../../daemon/capture/records/layout.gen.ts';
import {
	bounds,
	type OtherParts,
	readConnection,
	readEndpoint,
	readEvent,
	readHistogram,
	readTraffic,
	readVirtualServer,
	writeEndpoint,
	writeTraffic,
} from '../../../../daemon/capture/records/records.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const profileName = (id: number) => (id === 1 ? 'nat64' : undefined);

/** struct endpoint, byte by byte. */
function endpoint(family: 0 | 4 | 6, address: string, port: number): Buffer {
	const bytes = Buffer.alloc(endpointLayout.size);
	hex(address).copy(bytes, endpointLayout.address);
	bytes.writeUInt16LE(port, endpointLayout.port);
	bytes[endpointLayout.family] = family;
	return bytes;
}

const client = '20010db8 000c0000 00000000 00000001';

/** The facts about the connection below that its entry has no room for. */
const otherParts: OtherParts = { local: { family: 4, text: '192.0.2.2', port: 80 }, virtualServer: undefined };

/** struct toa_client, byte by byte. */
function toaClient(family: 4 | 6, address: string, port: number, profile: number): Buffer {
	const bytes = Buffer.alloc(toaClientLayout.size);
	hex(address).copy(bytes, toaClientLayout.address);
	bytes.writeUInt16LE(port, toaClientLayout.port);
	bytes[toaClientLayout.family] = family;
	bytes[toaClientLayout.profile] = profile;
	return bytes;
}

/** A closed connection with every field set. */
function connection(): Buffer {
	const bytes = Buffer.alloc(connectionLayout.size);
	bytes.writeBigUInt64LE(0xffff_ffff_ffff_fffen, connectionLayout.cookie);
	bytes.writeBigUInt64LE(1_000n, connectionLayout.openedNs);
	bytes.writeBigUInt64LE(2_000n, connectionLayout.acceptedNs);
	bytes.writeBigUInt64LE(3_000n, connectionLayout.closedNs);
	bytes.writeBigUInt64LE(2n ** 63n - 1n, connectionLayout.receivedBytes);
	bytes.writeBigUInt64LE(2n ** 53n + 1n, connectionLayout.sentBytes);
	bytes.writeBigUInt64LE(77n, connectionLayout.cgroupId);
	bytes.writeUInt32LE(5, connectionLayout.retransmittedSegments);
	// in eighths of a microsecond, as in the kernel
	bytes.writeUInt32LE(250 * 8 + 7, connectionLayout.srttUs);
	bytes.writeUInt16LE(104, connectionLayout.error);
	bytes.writeUInt32LE(4_026_531_840, connectionLayout.netns);
	bytes.writeUInt32LE(4_194_304, connectionLayout.pid);
	endpoint(4, 'c6336401', 65_535).copy(bytes, connectionLayout.peer);
	toaClient(6, client, 40_000, 1).copy(bytes, connectionLayout.client);
	bytes.write('nginx\0garbage', connectionLayout.comm);
	bytes[connectionLayout.verdict] = 1;
	bytes[connectionLayout.segment] = 2;
	bytes[connectionLayout.acceptKind] = 2;
	return bytes;
}

/** An event about that connection. */
function event(type: number): Buffer {
	const bytes = Buffer.alloc(eventLayout.size);
	bytes.writeUInt32LE(type, eventLayout.type);
	endpoint(4, 'c0000202', 80).copy(bytes, eventLayout.local);
	connection().copy(bytes, eventLayout.connection);
	return bytes;
}

describe('endpoints', () => {
	it.each([
		['IPv4', endpoint(4, 'c0000202', 443), { family: 4, text: '192.0.2.2', port: 443 }],
		['IPv6', endpoint(6, client, 65_535), { family: 6, text: '2001:db8:c::1', port: 65_535 }],
		['the unspecified address', endpoint(6, '', 1), { family: 6, text: '::', port: 1 }],
		['none', endpoint(0, client, 1), undefined],
	])('%s', (_, bytes, expected) => {
		expect(readEndpoint(Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(3, 0xff)]), 3)).toEqual(expected);
	});

	it('overwrite all of their own bytes, and none beside them', () => {
		const bytes = Buffer.alloc(endpointLayout.size + 4, 0xff);
		writeEndpoint(bytes, 2, { family: 4, address: [192, 0, 2, 2], port: 443 });
		const expected = Buffer.concat([Buffer.alloc(2, 0xff), endpoint(4, 'c0000202', 443), Buffer.alloc(2, 0xff)]);
		expect(bytes).toEqual(expected);
	});
});

describe('traffic', () => {
	const words = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 2n ** 63n - 1n];
	const bytes = Buffer.alloc(trafficLayout.size);
	words.forEach((word, index) => {
		bytes.writeBigUInt64LE(word, 8 * index);
	});
	const expected = {
		opened: 1n,
		closed: 2n,
		receivedBytes: 3n,
		sentBytes: 4n,
		retransmittedSegments: 5n,
		rttSumNs: 6n,
		rttCount: 7n,
		durationSumNs: 2n ** 63n - 1n,
	};

	it('is read exactly, even above 2^53', () => expect(readTraffic(bytes, 0)).toEqual(expected));

	it('is written as it is read', () => {
		const written = Buffer.alloc(trafficLayout.size);
		writeTraffic(written, 0, expected);
		expect(written).toEqual(bytes);
	});
});

describe('histograms', () => {
	it('have one more bucket than bounds', () => {
		const bytes = Buffer.alloc(histogramLayout.size);
		bytes.writeBigUInt64LE(99n, histogramLayout.sumNs);
		bytes.writeBigUInt64LE(7n, histogramLayout.buckets);
		bytes.writeBigUInt64LE(8n, histogramLayout.buckets + 8 * (constant.HISTOGRAM_BUCKETS - 1));
		const { sumNs, buckets, boundsNs } = readHistogram(bytes, 0, bounds.rtt);
		expect({ sumNs, first: buckets[0], last: buckets.at(-1) }).toEqual({ sumNs: 99n, first: 7n, last: 8n });
		expect(buckets).toHaveLength(boundsNs.length + 1);
	});

	it.each([
		['rtt', 62_500n],
		['duration', 1_000_000n],
		['acceptWait', 62_500n],
	] as const)('%s: each bound is twice the previous one', (name, first) => {
		expect(bounds[name][0]).toBe(first);
		for (const [index, bound] of bounds[name].entries()) expect(bound).toBe(first * 2n ** BigInt(index));
	});
});

describe('connections', () => {
	it('are decoded with every field', () => {
		expect(readConnection(connection(), 0, profileName, otherParts)).toEqual({
			cookie: 0xffff_ffff_ffff_fffen,
			netns: 4_026_531_840,
			local: { family: 4, text: '192.0.2.2', port: 80 },
			peer: { family: 4, text: '198.51.100.1', port: 65_535 },
			client: { family: 6, text: '2001:db8:c::1', port: 40_000 },
			virtualServer: undefined,
			verdict: 'toa',
			profile: 'nat64',
			segment: 'ack',
			state: 'closed',
			openedNs: 1_000n,
			acceptedNs: 2_000n,
			closedNs: 3_000n,
			seen: 'getpeername',
			owner: { by: 'accept', pid: 4_194_304, comm: 'nginx', cgroupId: 77n },
			receivedBytes: 2n ** 63n - 1n,
			sentBytes: 2n ** 53n + 1n,
			retransmittedSegments: 5,
			rttNs: 250_875,
			error: 'ECONNRESET',
		});
	});

	it('have no client port if the option had none', () => {
		const bytes = connection();
		bytes.writeUInt16LE(0, connectionLayout.client + toaClientLayout.port);
		const client = { family: 6, text: '2001:db8:c::1', port: undefined };
		expect(readConnection(bytes, 0, profileName, otherParts)?.client).toEqual(client);
	});

	it.each([
		['with IPv4', 4, 'cb007105', 443, 77, { family: 4, text: '203.0.113.5', port: 443 }, 77],
		['with VNI 0, a valid one', 4, 'cb007105', 443, 0, { family: 4, text: '203.0.113.5', port: 443 }, 0],
		['without a port', 6, client, 0, 0xff_ffff, { family: 6, text: '2001:db8:c::1', port: undefined }, 0xff_ffff],
		['without a VNI', 6, client, 0, undefined, { family: 6, text: '2001:db8:c::1', port: undefined }, undefined],
	] as const)('have the virtual server: %s', (_, family, address, port, vni, endpoint, expected) => {
		const bytes = event(1);
		const at = eventLayout.virtualServer;
		Buffer.from(address.replaceAll(' ', ''), 'hex').copy(bytes, at + toaVirtualLayout.address);
		bytes.writeUInt16LE(port, at + toaVirtualLayout.port);
		bytes[at + toaVirtualLayout.family] = family;
		bytes[at + toaVirtualLayout.hasVni] = vni === undefined ? 0 : 1;
		bytes.writeUInt32LE(vni ?? 0, at + toaVirtualLayout.vni);
		const virtualServer = readVirtualServer(bytes, at);
		expect(virtualServer).toEqual({ endpoint, vni: expected });
		expect(readEvent(bytes, 0, profileName)?.connection.virtualServer).toEqual(virtualServer);
		const read = readConnection(connection(), 0, profileName, { ...otherParts, virtualServer });
		expect(read?.virtualServer).toEqual(virtualServer);
	});

	it('have no accept, owner, verdict or close when they have just opened', () => {
		const bytes = connection();
		for (const at of [connectionLayout.acceptedNs, connectionLayout.closedNs]) bytes.writeBigUInt64LE(0n, at);
		for (const at of [connectionLayout.pid, connectionLayout.srttUs]) bytes.writeUInt32LE(0, at);
		for (const at of [connectionLayout.verdict, connectionLayout.acceptKind, connectionLayout.segment]) bytes[at] = 0;
		bytes.fill(0, connectionLayout.client, connectionLayout.client + toaClientLayout.size);
		expect(readConnection(bytes, 0, profileName, otherParts)).toMatchObject({
			client: undefined,
			verdict: 'pending',
			profile: undefined,
			segment: undefined,
			state: 'open',
			acceptedNs: undefined,
			closedNs: undefined,
			seen: undefined,
			owner: undefined,
			rttNs: undefined,
		});
	});

	it.each([
		['verdict', connectionLayout.verdict, ['pending', 'toa', 'none', 'malformed', 'untrusted', 'conflict']],
		['segment', connectionLayout.segment, [undefined, 'syn', 'ack', 'data']],
		['seen', connectionLayout.acceptKind, [undefined, 'fexit', 'getpeername', 'unseen']],
	] as const)('are decoded with each value of %s', (field, at, names) => {
		const bytes = connection();
		names.forEach((name, value) => {
			bytes[at] = value;
			expect(readConnection(bytes, 0, profileName, otherParts)?.[field], `${value}`).toBe(name);
		});
	});

	it('keep a process name of the maximum length', () => {
		const bytes = connection();
		bytes.write('a'.repeat(constant.COMM_SIZE), connectionLayout.comm);
		expect(readConnection(bytes, 0, profileName, otherParts)?.owner?.comm).toBe('a'.repeat(constant.COMM_SIZE));
	});

	it.each([
		[0, 'pending', false],
		[1, 'toa', true],
		[2, 'none', false],
		[3, 'malformed', false],
		[4, 'untrusted', false],
		[5, 'conflict', true],
	] as const)('verdict %i, %s: the client is known from the option: %s', (number, verdict, hasClient) => {
		const bytes = connection();
		bytes[connectionLayout.verdict] = number;
		expect(readConnection(bytes, 0, profileName, otherParts)).toMatchObject({
			verdict,
			client: hasClient ? { family: 6, text: '2001:db8:c::1', port: 40_000 } : undefined,
			profile: hasClient ? 'nat64' : undefined,
		});
	});

	// the slot still holds these fields of an earlier connection
	it.each([
		[0, undefined, false],
		[1, 'fexit', true],
		[2, 'getpeername', true],
		[3, 'unseen', false],
	] as const)('seen %i, %s: the accepting process and the time are known: %s', (number, seen, known) => {
		const bytes = connection();
		bytes[connectionLayout.acceptKind] = number;
		expect(readConnection(bytes, 0, profileName, otherParts)).toMatchObject({
			seen,
			acceptedNs: known ? 2_000n : undefined,
			owner: known ? { by: 'accept', pid: 4_194_304, comm: 'nginx', cgroupId: 77n } : undefined,
		});
	});

	it.each([
		['cookie', connectionLayout.cookie, 8],
		['peer', connectionLayout.peer, endpointLayout.size],
	])('are skipped while the entry is being filled: no %s yet', (_, at, size) => {
		expect(readConnection(connection().fill(0, at, at + size), 0, profileName, otherParts)).toBeUndefined();
	});

	it('are skipped without a local endpoint', () => {
		const nowhere = { ...otherParts, local: undefined };
		expect(readConnection(connection(), 0, profileName, nowhere)).toBeUndefined();
	});
});

describe('events', () => {
	it.each([
		[1, 'opened'],
		[2, 'accepted'],
		[3, 'closed'],
	])('%i is %s', (type, name) => {
		const both = Buffer.concat([Buffer.alloc(eventLayout.size, 0xff), event(type)]);
		const read = readEvent(both, eventLayout.size, profileName);
		expect(read?.type).toBe(name);
		expect(read?.connection).toEqual(readConnection(connection(), 0, profileName, otherParts));
	});

	it('name the listener that counts the connection, except for an additional subflow of MPTCP', () => {
		const bytes = event(3);
		const at = eventLayout.connection;
		bytes.writeUInt16LE(65_535, at + connectionLayout.listener);
		bytes.writeUInt32LE(4_294_967_295, at + connectionLayout.listenerService);
		expect(readEvent(bytes, 0, profileName)?.listener).toEqual({ slot: 65_535, service: 4_294_967_295 });
		bytes.writeUInt16LE(connectionFlag.CONN_JOINED, at + connectionLayout.flags);
		expect(readEvent(bytes, 0, profileName)).toMatchObject({ type: 'closed', listener: undefined });
	});

	it.each([0, 4])('%i is not an event', (type) => expect(readEvent(event(type), 0, profileName)).toBeUndefined());
});

describe('listening processes', () => {
	it('are decoded as owners through their listener', () => {
		const bytes = Buffer.alloc(ownerLayout.size);
		endpoint(6, '', 80).copy(bytes, ownerLayout.local);
		bytes.writeUInt32LE(4_026_531_840, ownerLayout.netns);
		bytes.writeUInt32LE(42, ownerLayout.pid);
		bytes.writeBigUInt64LE(77n, ownerLayout.cgroupId);
		bytes.writeBigUInt64LE(5_000_000_000n, ownerLayout.startedNs);
		bytes.write('node', ownerLayout.comm);
		bytes.writeUInt32LE(19, ownerLayout.fd);
		bytes[ownerLayout.savesSyns] = 2;
		bytes[ownerLayout.defersAccept] = 4;
		bytes[ownerLayout.transparent] = 1;
		expect(readListening(bytes, 0)).toEqual({
			local: { family: 6, text: '::', port: 80 },
			netns: 4_026_531_840,
			startedNs: 5_000_000_000n,
			owner: { by: 'listener', pid: 42, comm: 'node', cgroupId: 77n },
			fd: 19,
			savesSyns: true,
			savedByUs: false,
			defersAccept: true,
			transparent: true,
		});
		expect(readListening(Buffer.alloc(ownerLayout.size), 0)).toBeUndefined();
	});
});
