// SPDX-License-Identifier: Apache-2.0
/**
 * Ways in which a socket is created: deferred, with Fast Open, by SYN cookies, on an MPTCP
 * listener, over IPv6.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toaOption } from '../kit/wire/toa_option.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { noOption, type ReportedVerdict, WireStage } from '../kit/wire/wire_stage.ts';

const client = { address: '2001:db8::42', port: 5555 };
const option = toaOption('nat64', client.address);
const on = (segment: string): ReportedVerdict => ({ verdict: 'toa', profile: 'nat64', segment, client });

let stage: WireStage<'plain' | 'dual' | 'six' | 'defer' | 'fastopen' | 'mptcp' | 'mptcp6'>;
let cookies: WireStage<'plain' | 'six'>;

beforeAll(async () => {
	[stage, cookies] = await Promise.all([
		WireStage.open(
			{
				plain: ['4'],
				dual: ['dual'],
				six: ['6'],
				defer: ['4', 'defer'],
				fastopen: ['4', 'fastopen'],
				mptcp: ['4', 'mptcp'],
				mptcp6: ['dual', 'mptcp'],
			},
			{ sysctls: { 'ipv4/tcp_fastopen': '3' } },
		),
		WireStage.open({ plain: ['4'], six: ['6'] }, { sysctls: { 'ipv4/tcp_syncookies': '2' } }),
	]);
});

afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
	await cookies?.[Symbol.asyncDispose]();
});

describe.each([
	{ name: 'an AF_INET listener', to: 'plain', family: 4 },
	{ name: 'a dual-stack listener, over IPv4', to: 'dual', family: 4 },
	{ name: 'a dual-stack listener, over IPv6', to: 'dual', family: 6 },
	{ name: 'an AF_INET6 listener', to: 'six', family: 6 },
	{ name: 'an MPTCP listener and a client of plain TCP', to: 'mptcp', family: 4 },
	{ name: 'an MPTCP dual-stack listener and a client of plain TCP, over IPv4', to: 'mptcp6', family: 4 },
	{ name: 'an MPTCP dual-stack listener and a client of plain TCP, over IPv6', to: 'mptcp6', family: 6 },
] as const)('$name', ({ to, family }) => {
	const connection = () => stage.connection(to, { family });

	it('the option on the ACK', async () => {
		expect(await stage.reportedAfterReset(await connection().open(option))).toEqual(on('ack'));
	});

	it('on the first data', async () => {
		const one = await connection().open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('on data in the handshake ACK', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.data('hello', { options: option });
		await one.acknowledged(5);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('no option', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});
});

describe('TCP_DEFER_ACCEPT: the first data creates the socket', () => {
	const connection = () => stage.connection('defer');

	it('the option on the data', async () => {
		const one = await connection().open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the bare ACK and on the data', async () => {
		const one = await connection().open(option);
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the bare ACK only: the kernel drops that segment', async () => {
		const one = await connection().open(option);
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});
});

describe('SYN cookies, forced', () => {
	it.each([
		{ to: 'plain', family: 4 },
		{ to: 'six', family: 6 },
	] as const)('the option on the ACK, over IPv$family', async ({ to, family }) => {
		const one = await cookies.connection(to, { family }).open(option);
		expect(await cookies.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on data in the handshake ACK', async () => {
		const one = cookies.connection('plain');
		one.syn();
		await one.synAck();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await cookies.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the first data', async () => {
		const one = await cookies.connection('plain').open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await cookies.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('on the SYN only: not found', async () => {
		const one = cookies.connection('plain');
		one.syn({ options: option });
		await one.synAck();
		one.acknowledge();
		one.data('x');
		await one.acknowledged(1);
		expect(await cookies.reportedAfterReset(one)).toEqual(noOption);
	});
});

describe('TCP Fast Open', () => {
	/** Requests the cookie of the host on this connection, for use on the next. */
	async function cookieOf(one: WireConnection): Promise<string> {
		one.syn({ options: '2202' });
		const { options } = await one.synAck();
		const [, cookie] = /22(0a.{16})/.exec(options) ?? [];
		if (cookie === undefined) throw new Error(`no cookie among ${options}`);
		return `22${cookie}`;
	}

	async function secondConnection(): Promise<{ one: WireConnection; cookie: string }> {
		const first = stage.connection('fastopen');
		const cookie = await cookieOf(first);
		first.acknowledge();
		expect(await stage.reportedAfterReset(first)).toEqual(noOption);
		return { one: stage.connection('fastopen'), cookie };
	}

	it('the request for a cookie, the option on the ACK', async () => {
		const one = stage.connection('fastopen');
		await cookieOf(one);
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the SYN that carries the data and creates the socket', async () => {
		const { one, cookie } = await secondConnection();
		one.syn({ options: cookie + option, data: 'hello' });
		const { ack } = await one.synAck();
		expect(ack, 'the server has acknowledged the data').toBe(one.nextSeq);
		one.acknowledge();
		expect(await stage.reportedAfterReset(one)).toEqual(on('syn'));
	});

	it('on the SYN that creates the socket, and a RST instead of the ACK', async () => {
		const { one, cookie } = await secondConnection();
		one.syn({ options: cookie + option, data: 'hello' });
		await one.synAck();
		expect(await stage.reportedAfterReset(one)).toEqual(on('syn'));
	});

	it('on the ACK, after data on the SYN: too late', async () => {
		const { one, cookie } = await secondConnection();
		one.syn({ options: cookie, data: 'hello' });
		await one.synAck();
		one.acknowledge(option);
		one.data('x', { options: option });
		await one.acknowledged(6);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('on the ACK, if the SYN created the socket and carried no data: the kernel shows that segment to no program', async () => {
		const { one, cookie } = await secondConnection();
		one.syn({ options: cookie });
		await one.synAck();
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('on the first data, if the SYN carried none', async () => {
		const { one, cookie } = await secondConnection();
		one.syn({ options: cookie });
		await one.synAck();
		one.acknowledge();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});
});

it('each connection is counted once', async () => {
	await stage.expectCounted();
	await cookies.expectCounted();
});
