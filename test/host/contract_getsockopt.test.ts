// SPDX-License-Identifier: Apache-2.0
/**
 * The contract: what getsockopt() returns on an accepted socket, for each cell of the
 * table.
 */
import { endianness } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon } from '../kit/daemon/daemon.ts';
import { answerFor, lookup, untouched } from '../kit/wire/nat64_peer.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import type { OptionResult } from '../kit/wire/probe.ts';
import {
	type Accepted,
	ipv4Of,
	type Listener,
	listeners,
	Stage,
	somePorts,
	type Variant,
} from '../kit/wire/toa_stage.ts';

const firstPort = somePorts(2);
const config = (...more: string[]) => [`listeners: {ports: ["${firstPort}-${firstPort + 1}"]}`, ...more].join('\n');

let stage: Stage;

beforeAll(async () => {
	stage = await Stage.open(firstPort);
});
afterAll(async () => {
	await stage[Symbol.asyncDispose]();
});

describe('4096 with a TOA option', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config() });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each<[Listener, Variant]>(
		listeners.flatMap((listener) => [
			[listener, 'nat64'],
			[listener, 'toa6'],
			[listener, 'nat64 only on the ACK'],
			[listener, 'nat64 only on data'],
		]),
	)('%s, %s: returns the address and port', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		const { client } = connection;
		expect(await lookup(connection)).toEqual({
			result: 0,
			error: '',
			length: 20,
			bytes: answerFor(client.address, client.port),
		});
	});

	it.each<[Listener, Variant]>(
		listeners.flatMap((listener) => [
			[listener, 'toa4'],
			[listener, 'toa4 only on the ACK'],
			[listener, 'toa4 only on data'],
		]),
	)('%s, %s: returns the address as ::ffff: and port', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		const { client } = connection;
		expect(await lookup(connection)).toEqual({
			result: 0,
			error: '',
			length: 20,
			bytes: answerFor(`::ffff:${ipv4Of(client.address)}`, client.port),
		});
	});

	it.each(listeners.flatMap((listener) => [0, 1, 16, 18, 19].map((length) => [listener, length] as const)))(
		'%s, length %i: fails and leaves the buffer unchanged',
		async (listener, length) => {
			await using connection = await stage.connect(listener, 'nat64');
			expect(await lookup(connection, length, 64)).toEqual({
				result: -1,
				error: noToaError,
				length,
				bytes: untouched(64),
			});
		},
	);

	it.each(listeners.flatMap((listener) => [21, 64, 4096, 8192].map((length) => [listener, length] as const)))(
		'%s, length %i: returns 20 bytes and leaves the rest of the buffer unchanged',
		async (listener, length) => {
			await using connection = await stage.connect(listener, 'nat64');
			const { client } = connection;
			expect(await lookup(connection, length)).toEqual({
				result: 0,
				error: '',
				length: 20,
				bytes: Buffer.concat([answerFor(client.address, client.port), untouched(length - 20)]),
			});
		},
	);

	it.each(
		listeners.flatMap((listener) => (['none', 'unknown'] as const).map((variant) => [listener, variant] as const)),
	)('%s, option %s: fails and leaves the buffer unchanged', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		for (const length of [20, 19, 64, 8192]) {
			expect(await lookup(connection, length)).toEqual({
				result: -1,
				error: noToaError,
				length,
				bytes: untouched(length),
			});
		}
	});

	it.each(listeners)('%s, a direct client: fails', async (listener) => {
		await using direct = await stage.lab.client('gateway');
		await using connection = await stage.connectDirectly(listener, direct);
		expect(await lookup(connection)).toMatchObject({ result: -1, error: noToaError, bytes: untouched(20) });
	});
});

describe('4096 with an untrusted sender', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config('trust: [203.0.113.0/24, "2001:db8::/32"]') });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each(
		listeners.flatMap((listener) =>
			(['nat64', 'toa6', 'toa4'] as const).map((variant) => [listener, variant] as const),
		),
	)('%s, %s: fails and leaves the buffer unchanged', async (listener, variant) => {
		await using connection = await stage.connect(listener, variant);
		expect(await lookup(connection)).toEqual({ result: -1, error: noToaError, length: 20, bytes: untouched(20) });
	});

	it('succeeds when a reload makes the sender trusted', async () => {
		await daemon.reload(config('trust: [198.51.100.0/24]'));
		await using connection = await stage.connect('AF_INET', 'nat64');
		expect(await lookup(connection)).toMatchObject({ result: 0 });
	});
});

describe('4096 with sockopt off', () => {
	// ENOPROTOOPT, unless another program on this machine answers
	it.each(listeners)('%s: fails as without toascope', async (listener) => {
		await using daemon = await Daemon.start({ config: config('sockopt: off') });
		await using connection = await stage.connect(listener, 'nat64');
		const attached = await lookup(connection);
		await daemon.stop();
		expect(attached).toEqual(await lookup(connection));
		expect(attached).toMatchObject({ result: -1, length: 20, bytes: untouched(20) });
	});
});

/**
 * Other options: name, level, option, length, size of the buffer in bytes. From
 * asm-generic/socket.h, linux/in.h, linux/tcp.h.
 */
const others: readonly (readonly [string, number, number, number, number?])[] = [
	['SO_ERROR', 1, 4, 4],
	['SO_ERROR, short', 1, 4, 1, 4],
	['SO_ERROR, above a page', 1, 4, 8192],
	['SO_TYPE', 1, 3, 4],
	['SO_LINGER', 1, 13, 8],
	['SO_PEERNAME', 1, 28, 28],
	['SO_PEERNAME, above a page', 1, 28, 8192],
	['SO_PEERCRED', 1, 17, 12],
	['SO_ATTACH_FILTER', 1, 26, 2000, 16_000],
	['SO_ATTACH_FILTER, above a page', 1, 26, 8192, 65_536],
	['SO_COOKIE', 1, 57, 8],
	['SO_COOKIE, short', 1, 57, 7],
	['SOL_SOCKET 4096', 1, 4096, 20],
	['IP_TOS', 0, 1, 4],
	['IP_TTL, one byte', 0, 2, 1, 4],
	['IP_OPTIONS', 0, 4, 40],
	['IP_OPTIONS, above a page', 0, 4, 8192],
	['IP_MTU', 0, 14, 4],
	['IPPROTO_IP 4095', 0, 4095, 20],
	['IPPROTO_IP 4097', 0, 4097, 20],
	['IPPROTO_IP 4097, above a page', 0, 4097, 8192],
	['IP_TTL, negative length', 0, 2, -1, 4],
	['TCP_NODELAY', 6, 1, 4],
	['TCP_MAXSEG', 6, 2, 4],
	['TCP_CONGESTION', 6, 13, 16],
	['TCP_CONGESTION, above a page', 6, 13, 8192],
	['IPPROTO_TCP 4096', 6, 4096, 20],
	['IPV6_V6ONLY', 41, 26, 4],
	['IPPROTO_IPV6 4096', 41, 4096, 20],
	['an unknown level', 4096, 4096, 20],
];

/** The fields of struct tcp_info that do not change with time: state to flags, and both MSS. */
function steadyInfo({ result, error, length, bytes }: OptionResult) {
	return {
		result,
		error,
		length,
		head: bytes.subarray(0, 8),
		mss: bytes.subarray(16, 24),
		rest: bytes.subarray(length),
	};
}

describe('any other getsockopt()', () => {
	const readOthers = async ({ probe }: Accepted) => {
		const results: [string, OptionResult][] = [];
		for (const [name, level, option, length, room] of others) {
			results.push([name, await probe.getsockopt(level, option, length, room)]);
		}
		return results;
	};

	// one connection, first with toascope and then without
	it.each(listeners)('%s: returns byte for byte the same as without toascope', async (listener) => {
		await using daemon = await Daemon.start({ config: config() });
		await using connection = await stage.connect(listener, 'nat64');
		// more than a page, and no more than the net.core.optmem_max of old kernels allows
		await connection.probe.filter(600);
		const infos = (length: number) => connection.probe.getsockopt(6, 11, length, 8192).then(steadyInfo);
		expect(await lookup(connection)).toMatchObject({ result: 0 });
		const attached = [await readOthers(connection), await infos(104), await infos(8192)] as const;
		await daemon.stop();
		expect(await lookup(connection)).toMatchObject({ result: -1 });
		expect(attached).toEqual([await readOthers(connection), await infos(104), await infos(8192)]);

		// the table does cover errors, lengths, and results above a page
		const [results] = attached;
		const of = (name: string) => results.find(([each]) => each === name)?.[1];
		expect(of('SO_ATTACH_FILTER, above a page')).toMatchObject({ result: 0, length: 600 });
		expect(of('IP_TTL, negative length')).toMatchObject({ error: 'EINVAL' });
		expect(of('IPPROTO_IP 4097')).toMatchObject({ error: 'ENOPROTOOPT' });
		expect(of('TCP_CONGESTION, above a page')).toMatchObject({ result: 0 });
		expect(attached[1]).toMatchObject({ result: 0, length: 104 });
	});

	it('a result of more than a page is the same as without toascope', async () => {
		const groups = 3000;
		const SO_PEERGROUPS = 59;
		await using daemon = await Daemon.start({ config: config() });
		const probe = stage.probe('AF_INET');
		await probe.groups(groups);
		const read = () => probe.getsockopt(1, SO_PEERGROUPS, 4 * groups, 4 * groups + 16);
		const withIt = await read();
		await daemon.stop();
		expect(withIt).toEqual(await read());
		expect(withIt).toMatchObject({ result: 0, length: 4 * groups });
		const last = withIt.bytes.subarray(4 * (groups - 1), 4 * groups);
		expect(endianness() === 'LE' ? last.readUInt32LE() : last.readUInt32BE()).toBe(100_000 + groups - 1);
	});
});
