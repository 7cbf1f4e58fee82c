// SPDX-License-Identifier: Apache-2.0
/** Bytes that cross between kernel and daemon: records read, settings written, mounts found. */
import { describe, expect, it } from 'vitest';
import {
	connectionLayout,
	endpointLayout,
	eventLayout,
	histogramLayout,
	limit,
	ownerLayout,
	portBitsLayout,
	settingsLayout,
	toaProfileLayout,
	toaTableLayout,
	trafficLayout,
	trustKeyLayout,
} from '../../daemon/capture/layout.gen.ts';
import { findBpffs, findCgroup2, parseMounts } from '../../daemon/capture/mounts.ts';
import {
	bounds,
	readConnection,
	readEndpoint,
	readEvent,
	readHistogram,
	readListening,
	readTraffic,
	writeEndpoint,
	writeTraffic,
} from '../../daemon/capture/records.ts';
import { encodePorts, encodeProfiles, encodeSettings, encodeTrust } from '../../daemon/capture/settings.ts';
import { parseNetwork } from '../../daemon/config/cidr.ts';
import type { Config } from '../../daemon/config/config.ts';
import { defaultConfig } from '../../daemon/config/load.ts';
import { builtInProfiles } from '../../daemon/config/profiles.ts';

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

/** A closed connection whose every field is set. */
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
	bytes.writeUInt32LE(250, connectionLayout.srttUs);
	bytes.writeUInt32LE(4_026_531_840, connectionLayout.netns);
	bytes.writeUInt32LE(4_194_304, connectionLayout.pid);
	endpoint(4, 'c0000202', 80).copy(bytes, connectionLayout.local);
	endpoint(4, 'c6336401', 65_535).copy(bytes, connectionLayout.peer);
	endpoint(6, client, 40_000).copy(bytes, connectionLayout.client);
	bytes.write('nginx\0garbage', connectionLayout.comm);
	bytes[connectionLayout.verdict] = 1;
	bytes[connectionLayout.profile] = 1;
	bytes[connectionLayout.segment] = 2;
	bytes[connectionLayout.seen] = 2;
	return bytes;
}

describe('endpoints', () => {
	it.each([
		['IPv4', endpoint(4, 'c0000202', 443), { family: 4, text: '192.0.2.2', port: 443 }],
		['IPv6', endpoint(6, client, 65_535), { family: 6, text: '2001:db8:c::1', port: 65_535 }],
		['the unspecified one', endpoint(6, '', 1), { family: 6, text: '::', port: 1 }],
		['none', endpoint(0, client, 1), undefined],
	])('%s', (_, bytes, expected) => {
		expect(readEndpoint(Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(3, 0xff)]), 3)).toEqual(expected);
	});

	it('are written over whatever stood there, and nothing beside', () => {
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

	it('is read exactly, above 2^53 as well', () => expect(readTraffic(bytes, 0)).toEqual(expected));

	it('is written as it is read', () => {
		const written = Buffer.alloc(trafficLayout.size);
		writeTraffic(written, 0, expected);
		expect(written).toEqual(bytes);
	});
});

describe('histograms', () => {
	it('have as many buckets as bounds, and one more', () => {
		const bytes = Buffer.alloc(histogramLayout.size);
		bytes.writeBigUInt64LE(99n, histogramLayout.sumNs);
		bytes.writeBigUInt64LE(7n, histogramLayout.buckets);
		bytes.writeBigUInt64LE(8n, histogramLayout.buckets + 8 * (limit.HISTOGRAM_BUCKETS - 1));
		const { sumNs, buckets, boundsNs } = readHistogram(bytes, 0, bounds.rtt);
		expect({ sumNs, first: buckets[0], last: buckets.at(-1) }).toEqual({ sumNs: 99n, first: 7n, last: 8n });
		expect(buckets).toHaveLength(boundsNs.length + 1);
	});

	it.each([
		['rtt', 62_500n],
		['duration', 1_000_000n],
		['acceptWait', 62_500n],
	] as const)('%s: each bound is twice the one before', (name, first) => {
		expect(bounds[name][0]).toBe(first);
		for (const [index, bound] of bounds[name].entries()) expect(bound).toBe(first * 2n ** BigInt(index));
	});
});

describe('connections', () => {
	it('with every field', () => {
		expect(readConnection(connection(), 0, profileName)).toEqual({
			cookie: 0xffff_ffff_ffff_fffen,
			netns: 4_026_531_840,
			local: { family: 4, text: '192.0.2.2', port: 80 },
			peer: { family: 4, text: '198.51.100.1', port: 65_535 },
			client: { family: 6, text: '2001:db8:c::1', port: 40_000 },
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
			srttUs: 250,
		});
	});

	it('that have only begun', () => {
		const bytes = connection();
		for (const at of [connectionLayout.acceptedNs, connectionLayout.closedNs]) bytes.writeBigUInt64LE(0n, at);
		for (const at of [connectionLayout.pid, connectionLayout.srttUs]) bytes.writeUInt32LE(0, at);
		bytes.fill(0, connectionLayout.client, connectionLayout.size);
		expect(readConnection(bytes, 0, profileName)).toMatchObject({
			client: undefined,
			verdict: 'pending',
			profile: undefined,
			segment: undefined,
			state: 'open',
			acceptedNs: undefined,
			closedNs: undefined,
			seen: undefined,
			owner: undefined,
			srttUs: undefined,
		});
	});

	it.each([
		['verdict', connectionLayout.verdict, ['pending', 'toa', 'none', 'malformed', 'untrusted', 'conflict']],
		['segment', connectionLayout.segment, [undefined, 'syn', 'ack', 'data']],
		['seen', connectionLayout.seen, [undefined, 'fexit', 'getpeername', 'unseen']],
	] as const)('each %s', (field, at, names) => {
		const bytes = connection();
		names.forEach((name, value) => {
			bytes[at] = value;
			expect(readConnection(bytes, 0, profileName)?.[field], `${value}`).toBe(name);
		});
	});

	it('whose process has a name as long as the kernel lets it', () => {
		const bytes = connection();
		bytes.write('a'.repeat(limit.COMM_SIZE), connectionLayout.comm);
		expect(readConnection(bytes, 0, profileName)?.owner?.comm).toBe('a'.repeat(limit.COMM_SIZE));
	});

	it.each([
		['cookie', connectionLayout.cookie, 8],
		['local end', connectionLayout.local, endpointLayout.size],
		['peer', connectionLayout.peer, endpointLayout.size],
	])('none while its entry is being filled: no %s yet', (_, at, size) => {
		expect(readConnection(connection().fill(0, at, at + size), 0, profileName)).toBeUndefined();
	});
});

describe('events', () => {
	const event = (type: number) => {
		const bytes = Buffer.alloc(eventLayout.size);
		bytes.writeUInt32LE(type, eventLayout.type);
		connection().copy(bytes, eventLayout.connection);
		return bytes;
	};

	it.each([
		[1, 'opened'],
		[2, 'accepted'],
		[3, 'closed'],
	])('%i is %s', (type, name) => {
		const both = Buffer.concat([Buffer.alloc(eventLayout.size, 0xff), event(type)]);
		const read = readEvent(both, eventLayout.size, profileName);
		expect(read?.type).toBe(name);
		expect(read?.connection).toEqual(readConnection(connection(), 0, profileName));
	});

	it.each([0, 4])('%i is none', (type) => expect(readEvent(event(type), 0, profileName)).toBeUndefined());
});

describe('listening processes', () => {
	it('are owners by their listener', () => {
		const bytes = Buffer.alloc(ownerLayout.size);
		endpoint(6, '', 80).copy(bytes, ownerLayout.local);
		bytes.writeUInt32LE(4_026_531_840, ownerLayout.netns);
		bytes.writeUInt32LE(42, ownerLayout.pid);
		bytes.writeBigUInt64LE(77n, ownerLayout.cgroupId);
		bytes.write('node', ownerLayout.comm);
		expect(readListening(bytes, 0)).toEqual({
			local: { family: 6, text: '::', port: 80 },
			netns: 4_026_531_840,
			owner: { by: 'listener', pid: 42, comm: 'node', cgroupId: 77n },
		});
		expect(readListening(Buffer.alloc(ownerLayout.size), 0)).toBeUndefined();
	});
});

describe('profiles for the kernel', () => {
	const table = encodeProfiles(builtInProfiles);

	/** What the programs find for an option of this kind and length (toa_scan() of kernel/toa_option.h). */
	function find(kind: number, length: number) {
		const slot = table[toaTableLayout.slot + kind * 64 + length] ?? 0;
		if (slot === 0) return undefined;
		const at = toaTableLayout.profile + slot * toaProfileLayout.size;
		return [...table.subarray(at, at + toaProfileLayout.size)];
	}

	it.each([
		// id, kind, length, family, port_at, address_at, on_syn, reserved
		['nat64', [1, 253, 20, 6, 2, 4, 0, 0]],
		['toa6', [2, 254, 20, 6, 2, 4, 0, 0]],
		['toa4', [3, 254, 8, 4, 2, 4, 0, 0]],
		['ucloud', [4, 253, 8, 4, 2, 4, 0, 0]],
		['tencent', [5, 200, 8, 4, 2, 4, 0, 0]],
		['cdn4', [6, 28, 7, 4, 0xff, 3, 1, 0]],
		['cdn6', [7, 28, 19, 6, 0xff, 3, 1, 0]],
	] as const)('%s', (_, expected) => expect(find(expected[1], expected[2])).toEqual(expected));

	it('no other kind and length leads to one', () => {
		let found = 0;
		for (let kind = 0; kind < 256; kind++) {
			for (let length = 0; length < 64; length++) if (find(kind, length) !== undefined) found++;
		}
		expect(found).toBe(builtInProfiles.length);
	});

	it('slot 0 is nobody', () => {
		const at = toaTableLayout.profile;
		expect(table.subarray(at, at + toaProfileLayout.size)).toEqual(Buffer.alloc(toaProfileLayout.size));
	});
});

describe('settings for the kernel', () => {
	const base = defaultConfig();

	it('the defaults believe everybody', () => {
		const bytes = encodeSettings(base, 7, 0b1010);
		expect(bytes).toHaveLength(settingsLayout.size);
		expect(bytes.readUInt32LE(settingsLayout.generation)).toBe(7);
		expect(bytes.readUInt32LE(settingsLayout.events)).toBe(0b1010);
		// trust_any, transparent, sockopt, prefix4, prefix6
		expect([...bytes.subarray(8, 13)]).toEqual([1, 0, 1, 32, 128]);
		expect(bytes.subarray(settingsLayout.table)).toEqual(encodeProfiles(base.profiles));
	});

	it('and everything else', () => {
		const config: Config = {
			...base,
			trust: [parseNetwork('192.0.2.0/24')],
			transparent: { enabled: true, ports: 'all' },
			sockopt: false,
			clients: { ...base.clients, prefix4: 24, prefix6: 64 },
		};
		expect([...encodeSettings(config, 0, 0).subarray(8, 13)]).toEqual([0, 1, 0, 24, 64]);
	});

	it('ports, one bit for each', () => {
		const watched = [
			{ first: 1, last: 1 },
			{ first: 63, last: 128 },
			{ first: 65_535, last: 65_535 },
		];
		const bytes = encodePorts({
			...base,
			listeners: { ...base.listeners, ports: watched },
			transparent: { enabled: true, ports: [{ first: 443, last: 443 }] },
		});
		expect(bytes).toHaveLength(65_536 / 8 + 65_536 / 8);
		const bit = (port: number, offset: number) =>
			(bytes.readBigUInt64LE((port >> 6) * portBitsLayout.size + offset) >> BigInt(port & 63)) & 1n;
		const set = (offset: number) => Array.from({ length: 65_536 }, (_, i) => i).filter((port) => bit(port, offset) === 1n);
		expect(set(portBitsLayout.watched)).toEqual([1, ...Array.from({ length: 66 }, (_, i) => 63 + i), 65_535]);
		expect(set(portBitsLayout.transparent)).toEqual([443]);
	});

	it('all ports, every bit', () => {
		expect(encodePorts(base)).toEqual(Buffer.alloc(limit.PORT_WORDS * portBitsLayout.size, 0xff));
	});

	it.each([
		['192.0.2.0/24', '58000000 05000000 04000000 c0000200 000000000000000000000000'],
		['0.0.0.0/0', '40000000 05000000 04000000 00000000000000000000000000000000'],
		['2001:db8::/32', '60000000 05000000 06000000 20010db8000000000000000000000000'],
		['2001:db8::1/128', 'c0000000 05000000 06000000 20010db8000000000000000000000001'],
	])('trust in %s: generation and family are part of the prefix', (text, expected) => {
		const bytes = encodeTrust(parseNetwork(text), 5);
		expect(bytes.toString('hex')).toBe(expected.replaceAll(' ', ''));
		expect(bytes).toHaveLength(trustKeyLayout.size);
	});
});

describe('mounts', () => {
	const hybrid = `
22 28 0:20 / /proc rw,nosuid,nodev shared:12 - proc proc rw
30 29 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,size=4096k
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/cpu rw shared:11 master:3 - cgroup cgroup rw,cpu
`;

	it('finds cgroup v2 where a hybrid set-up has it', () => {
		expect(findCgroup2(parseMounts(hybrid))).toBe('/sys/fs/cgroup/unified');
	});

	it('finds cgroup v2 where systemd has it', () => {
		const text = '35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw\n';
		expect(findCgroup2(parseMounts(text))).toBe('/sys/fs/cgroup');
	});

	it('finds none where there is none', () => {
		expect(findCgroup2(parseMounts('22 28 0:20 / /proc rw - proc proc rw\n'))).toBeUndefined();
		expect(findCgroup2(parseMounts(''))).toBeUndefined();
	});

	it('reads escapes, any number of optional fields, and who is read-only', () => {
		const text = [
			'40 24 0:31 / /mnt/with\\040space\\011tab\\134 rw,noatime shared:1 master:2 propagate_from:3 - bpf bpf rw,mode=700',
			'41 24 0:32 / /mnt/a\\040-\\040b ro - ext4 /dev/sda1 rw',
			'42 24 0:33 / /mnt/error rw,errors=remount-ro - ext4 /dev/sda1 rw',
		].join('\n');
		expect(parseMounts(text)).toEqual([
			{ point: '/mnt/with space\ttab\\', type: 'bpf', readOnly: false },
			{ point: '/mnt/a - b', type: 'ext4', readOnly: true },
			{ point: '/mnt/error', type: 'ext4', readOnly: false },
		]);
	});

	it('finds the bpffs that holds a path: the innermost, and only at a border between names', () => {
		const mounts = parseMounts(
			[
				'50 24 0:40 / /sys/fs/bpf rw - bpf bpf rw',
				'51 50 0:41 / /sys/fs/bpf/inner ro - bpf bpf rw',
				'52 24 0:42 / /run/bpf rw - tmpfs tmpfs rw',
			].join('\n'),
		);
		expect(findBpffs(mounts, '/sys/fs/bpf/toascope')?.point).toBe('/sys/fs/bpf');
		expect(findBpffs(mounts, '/sys/fs/bpf')?.point).toBe('/sys/fs/bpf');
		expect(findBpffs(mounts, '/sys/fs/bpf/inner/toascope')).toMatchObject({
			point: '/sys/fs/bpf/inner',
			readOnly: true,
		});
		expect(findBpffs(mounts, '/sys/fs/bpf/innermost')?.point).toBe('/sys/fs/bpf');
		expect(findBpffs(mounts, '/sys/fs/bpfs')).toBeUndefined();
		expect(findBpffs(mounts, '/run/bpf/toascope')).toBeUndefined();
	});

	it('takes the mount on top where two are at one place', () => {
		const mounts = parseMounts(
			['50 24 0:40 / /sys/fs/bpf ro - bpf bpf rw', '51 50 0:41 / /sys/fs/bpf rw - bpf bpf rw'].join('\n'),
		);
		expect(findBpffs(mounts, '/sys/fs/bpf/toascope')?.readOnly).toBe(false);
	});
});
