// SPDX-License-Identifier: Apache-2.0
/**
 * VTOA: options that also name the virtual server, what getsockopt() 1345 to 1347 return, and what
 * the daemon reports.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lookUpUntil } from '../kit/daemon/lookup.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { fill, type OptionResult, Probe } from '../kit/wire/probe.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const [ipLevel, ipv6Level] = [0, 41];
/**
 * VTOA_SO_GET_VS, VTOA_SO_GET_VS4RDS and HYBRID_VTOA_SO_GET_VS, and the sizes of their structures.
 */
const [getVs, getVs4rds, getHybrid] = [1345, 1346, 1347];
const [vsSize, vs4rdsSize, hybridSize] = [12, 32, 24];

const client = '203.0.113.7';
/** Client port 5555, VPC 0x01020304 in the byte order of the balancer, VIP 192.0.2.80:443. */
const vtoa4 = 'fc1415b3cb0071070403020 1c000025001bb0000'.replace(' ', '');
/**
 * The VIP in an option of its own, for lists in which another option has the client:
 * 192.0.2.80:443.
 */
const vip4 = 'fa0801bbc0000250';
/** Client [2001:db8::42]:5555, VNI 0x0a0b0c, VIP 2001:db8:1::80. */
const vtoa6 = `f92815b3${'20010db8000000000000000000000042'}0a0b0c00${'20010db8000100000000000000000080'}`;

const trusted = '198.18.0.0/16';
const untrustedPeer = { address: '198.19.0.1', port: 2000 } as const;

let stage: WireStage<'plain'>;
let four: Probe;
let dual: Probe;

beforeAll(async () => {
	stage = await WireStage.open(
		{ plain: ['4'] },
		{ config: ['balancer: aliyun-vtoa'], trust: [trusted, wireNetwork.hosts6] },
	);
	const { port } = stage.listeners.plain;
	[four, dual] = await Promise.all([Probe.start(stage.lab, '4', port + 1), Probe.start(stage.lab, 'dual', port + 2)]);
});

afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
});

/**
 * Makes a connection with these options on the last segment of the handshake, which the probe
 * accepts.
 */
async function accepted(
	probe: Probe,
	options: string | undefined,
	more: { readonly family?: 4 | 6; readonly from?: { readonly address: string; readonly port: number } } = {},
): Promise<WireConnection> {
	const one = stage.wire.connection({ to: probe.port, ...more });
	one.syn();
	await one.synAck();
	one.acknowledge(options);
	await probe.accept();
	return one;
}

async function end(probe: Probe, one: WireConnection): Promise<void> {
	await probe.closeConnection();
	one.reset();
}

/** struct vtoa_vs */
function readVs(bytes: Buffer, at = 0) {
	return {
		vid: bytes.readUInt32LE(at),
		vaddr: [...bytes.subarray(at + 4, at + 8)].join('.'),
		vport: bytes.readUInt16BE(at + 8),
		padding: bytes.readUInt16LE(at + 10),
	};
}

const refused = (answer: OptionResult, error: string) => {
	expect(answer).toMatchObject({ result: -1, error: noToaError === 'EINVAL' ? error : noToaError });
	expect([...answer.bytes].every((byte) => byte === fill)).toBe(true);
};

describe('client and virtual server in one option', () => {
	it('1345 returns it', async () => {
		const one = await accepted(four, vtoa4);
		const answer = await four.getsockopt(ipLevel, getVs, vsSize);
		expect(answer).toMatchObject({ result: 0, length: vsSize });
		expect(readVs(answer.bytes)).toEqual({ vid: 0x01020304, vaddr: '192.0.2.80', vport: 443, padding: 0 });
		await end(four, one);
	});

	it('1345 with a larger buffer writes only its own size', async () => {
		const one = await accepted(four, vtoa4);
		const answer = await four.getsockopt(ipLevel, getVs, 64);
		expect(answer).toMatchObject({ result: 0, length: vsSize });
		expect([...answer.bytes.subarray(vsSize)].every((byte) => byte === fill)).toBe(true);
		await end(four, one);
	});

	it('1346 returns it after the addresses of the connection, which equal getpeername() and getsockname()', async () => {
		const one = await accepted(four, vtoa4);
		const peer = await four.getpeername();
		const { result, length, bytes } = await four.getsockopt(ipLevel, getVs4rds, vs4rdsSize);
		expect({ result, length }).toEqual({ result: 0, length: vs4rdsSize });
		expect(bytes.readUInt16LE(0)).toBe(6);
		expect([...bytes.subarray(4, 8)].join('.')).toBe(peer.address);
		expect(bytes.readUInt16BE(8)).toBe(peer.port);
		expect([...bytes.subarray(12, 16)].join('.')).toBe(wireNetwork.server4);
		expect(bytes.readUInt16BE(16)).toBe(four.port);
		expect(readVs(bytes, 20)).toMatchObject({ vid: 0x01020304, vaddr: '192.0.2.80', vport: 443 });
		await end(four, one);
	});

	it('1347 returns it with its family', async () => {
		const one = await accepted(four, vtoa4);
		const { result, length, bytes } = await four.getsockopt(ipLevel, getHybrid, hybridSize);
		expect({ result, length }).toEqual({ result: 0, length: hybridSize });
		expect(bytes.readUInt32LE(0)).toBe(0x01020304);
		expect(bytes.subarray(4, 20).toString('hex')).toBe(`c0000250${'00'.repeat(12)}`);
		expect([bytes.readUInt16LE(20), bytes.readUInt16BE(22)]).toEqual([2, 443]);
		await end(four, one);
	});

	it('4096 returns the client', async () => {
		const one = await accepted(four, vtoa4);
		const { bytes } = await four.getsockopt(ipLevel, 4096, 20);
		expect(bytes.toString('hex')).toBe(`${'00'.repeat(10)}ffffcb00710715b30000`);
		await end(four, one);
	});

	it('IPv6: 1347 returns it, at either level, and 1345 and 1346 do not', async () => {
		const one = await accepted(dual, vtoa6, { family: 6 });
		for (const level of [ipLevel, ipv6Level]) {
			const { result, length, bytes } = await dual.getsockopt(level, getHybrid, hybridSize);
			expect({ result, length }).toEqual({ result: 0, length: hybridSize });
			expect(bytes.readUInt32LE(0)).toBe(0x0a0b0c);
			expect(bytes.subarray(4, 20).toString('hex')).toBe('20010db8000100000000000000000080');
			expect([bytes.readUInt16LE(20), bytes.readUInt16BE(22)]).toEqual([10, 0]);
		}
		refused(await dual.getsockopt(ipLevel, getVs, vsSize), 'ESRCH');
		refused(await dual.getsockopt(ipLevel, getVs4rds, vs4rdsSize), 'ESRCH');
		await end(dual, one);
	});

	it('IPv4 on a dual-stack socket', async () => {
		const one = await accepted(dual, vtoa4);
		const answer = await dual.getsockopt(ipLevel, getVs4rds, vs4rdsSize);
		expect([...answer.bytes.subarray(12, 16)].join('.')).toBe(wireNetwork.server4);
		expect(readVs(answer.bytes, 20)).toMatchObject({ vaddr: '192.0.2.80', vport: 443 });
		refused(await dual.getsockopt(ipv6Level, getHybrid, hybridSize), 'ESRCH');
		refused(await dual.getsockopt(ipv6Level, getVs, vsSize), 'EINVAL');
		await end(dual, one);
	});
});

describe('the virtual server in an option of its own', () => {
	const of = { vid: 0, vaddr: '192.0.2.80', vport: 443, padding: 0 };

	it('next to the client', async () => {
		const one = await accepted(four, toaOption('toa4', client) + vip4);
		expect(readVs((await four.getsockopt(ipLevel, getVs, vsSize)).bytes)).toEqual(of);
		const [connection] = await lookUpUntil(stage.daemon, one.peer, ([found]) => found?.verdict === 'toa');
		expect(connection).toMatchObject({
			profile: 'toa4',
			client: { address: client, port: 5555 },
			virtual_server: { address: '192.0.2.80', port: 443, vni: null },
		});
		await end(four, one);
	});

	it('by itself: there is no client, and it is returned nevertheless', async () => {
		const one = await accepted(four, vip4);
		expect(readVs((await four.getsockopt(ipLevel, getVs, vsSize)).bytes)).toEqual(of);
		refused(await four.getsockopt(ipLevel, 4096, 20), 'EINVAL');
		await end(four, one);
		expect(await stage.reported(one)).toMatchObject({ verdict: 'none', client: null });
	});
});

it('a virtual server that was returned once stays, even if a later segment names another one', async () => {
	const one = await accepted(four, vip4);
	const first = await four.getsockopt(ipLevel, getVs, vsSize);
	one.acknowledge('fa081f90c0000251');
	await stage.wire.handled();
	expect(await four.getsockopt(ipLevel, getVs, vsSize)).toEqual(first);
	await end(four, one);
	const [closed] = await lookUpUntil(stage.daemon, one.peer, ([found]) => found?.state === 'closed');
	expect(closed).toMatchObject({ virtual_server: { address: '192.0.2.80', port: 443, vni: null } });
});

describe('what is not answered', () => {
	it('without such an option: ESRCH', async () => {
		const one = await accepted(four, toaOption('toa4', client));
		refused(await four.getsockopt(ipLevel, getVs, vsSize), 'ESRCH');
		refused(await four.getsockopt(ipLevel, getVs4rds, vs4rdsSize), 'ESRCH');
		refused(await four.getsockopt(ipLevel, getHybrid, hybridSize), 'ESRCH');
		await end(four, one);
	});

	it('of a peer that is not trusted: ESRCH', async () => {
		const one = await accepted(four, vtoa4, { from: untrustedPeer });
		refused(await four.getsockopt(ipLevel, getVs, vsSize), 'ESRCH');
		await end(four, one);
		expect(await stage.reported(one)).toMatchObject({ verdict: 'untrusted', client: null });
	});

	it('into a buffer that is too short, or for 1346 of any other size: EINVAL', async () => {
		const one = await accepted(four, vtoa4);
		refused(await four.getsockopt(ipLevel, getVs, vsSize - 1), 'EINVAL');
		refused(await four.getsockopt(ipLevel, getVs4rds, vs4rdsSize - 1), 'EINVAL');
		refused(await four.getsockopt(ipLevel, getVs4rds, vs4rdsSize + 1), 'EINVAL');
		refused(await four.getsockopt(ipLevel, getHybrid, hybridSize - 1), 'EINVAL');
		await end(four, one);
	});

	it('adjacent option numbers: ENOPROTOOPT', async () => {
		const one = await accepted(four, vtoa4);
		for (const name of [1344, 1348, 2064]) {
			expect(await four.getsockopt(ipLevel, name, 32)).toMatchObject({ result: -1, error: 'ENOPROTOOPT' });
		}
		await end(four, one);
	});
});

it('the daemon reports the virtual server while the connection is open and after its close', async () => {
	const one = await accepted(dual, vtoa6, { family: 6 });
	const virtual = { address: '2001:db8:1::80', port: null, vni: 0x0a0b0c };
	const [open] = await lookUpUntil(stage.daemon, one.peer, ([found]) => found?.verdict === 'toa');
	expect(open).toMatchObject({
		profile: 'vtoa6',
		client: { address: '2001:db8::42', port: 5555 },
		virtual_server: virtual,
	});
	await end(dual, one);
	const [closed] = await lookUpUntil(stage.daemon, one.peer, ([found]) => found?.state === 'closed');
	expect(closed).toMatchObject({ virtual_server: virtual });
});
