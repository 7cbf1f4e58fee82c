// SPDX-License-Identifier: Apache-2.0
/**
 * Which segment carries the option, and which options count: hand-made connections, from the SYN to
 * the reset.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lookUp } from '../kit/daemon/lookup.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { noOption, type ReportedVerdict, WireStage } from '../kit/wire/wire_stage.ts';

const client = { address: '2001:db8::42', port: 5555 };
const option = toaOption('nat64', client.address);
const another = toaOption('nat64', '2001:db8::43');
const on = (segment: string): ReportedVerdict => ({ verdict: 'toa', profile: 'nat64', segment, client });
const malformed: ReportedVerdict = { ...noOption, verdict: 'malformed' };

let stage: WireStage<'server'>;

beforeAll(async () => {
	stage = await WireStage.open({ server: ['4'] });
});

afterAll(() => stage?.[Symbol.asyncDispose]());

const connection = () => stage.connection('server');

describe('the option is', () => {
	it('on the SYN only: not found for profiles that are not marked', async () => {
		const one = connection();
		one.syn({ options: option });
		await one.synAck();
		one.acknowledge();
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('on the ACK that ends the handshake', async () => {
		expect(await stage.reportedAfterReset(await connection().open(option))).toEqual(on('ack'));
	});

	it('on a second bare ACK', async () => {
		const one = await connection().open();
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the first data', async () => {
		const one = await connection().open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('on the second data, before any is acknowledged: the first was lost', async () => {
		const one = await connection().open();
		one.data('y', { options: option, at: 1 });
		one.data('x', { at: 0 });
		await one.acknowledged(2);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('on the second data, after the first was acknowledged: too late', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.data('y', { options: option });
		await one.acknowledged(2);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('on a bare ACK after the first data: too late', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('on data that creates the socket: the handshake ACK was lost', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on the FIN of a client that sends nothing', async () => {
		const one = await connection().open();
		one.fin({ options: option });
		one.markReceived(await one.finished());
		one.acknowledge();
		expect(await stage.reported(one)).toEqual(on('ack'));
	});

	it('on the data that comes with the FIN', async () => {
		const one = await connection().open();
		one.fin({ options: option, data: 'x' });
		one.markReceived(await one.finished());
		one.acknowledge();
		expect(await stage.reported(one)).toEqual(on('data'));
	});

	it('on a FIN that creates the socket', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.fin({ options: option });
		one.markReceived(await one.finished());
		one.acknowledge();
		expect(await stage.reported(one)).toEqual(on('ack'));
	});

	it('on the RST only: it is not a segment of the connection any more', async () => {
		const one = await connection().open();
		one.reset({ options: option });
		expect(await stage.reported(one)).toEqual(noOption);
	});

	it('next to timestamps, on a connection that has them', async () => {
		const one = connection();
		const timestamps = (answer: string) => `0101080a00000001${answer}`;
		one.syn({ options: timestamps('00000000') });
		const { options } = await one.synAck();
		const theirs = /080a(.{8})/.exec(options)?.[1] ?? '';
		one.acknowledge(timestamps(theirs) + option);
		one.data('x', { options: timestamps(theirs) + option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});
});

describe('kind 254 with port 63881, which looks like the magic of Fast Open', () => {
	const magic = { address: client.address, port: 0xf989 };
	const lookalike = toaOption('toa6', magic.address, magic.port);

	it('on the ACK', async () => {
		const reported = await stage.reportedAfterReset(await connection().open(lookalike));
		expect(reported).toEqual({ verdict: 'toa', profile: 'toa6', segment: 'ack', client: magic });
	});

	it('on the first data', async () => {
		const one = await connection().open();
		one.data('x', { options: lookalike });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual({
			verdict: 'toa',
			profile: 'toa6',
			segment: 'data',
			client: magic,
		});
	});
});

describe('several options', () => {
	it('that differ, on two segments: the search ends with the first', async () => {
		const one = await connection().open(option);
		one.data('x', { options: another });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('that differ, in one list on data', async () => {
		const one = await connection().open();
		one.data('x', { options: option + another });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual({ ...on('data'), verdict: 'conflict' });
	});

	it('of which the first is malformed', async () => {
		const one = await connection().open('fd00ffff');
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('of which the first is good: the others are not read', async () => {
		const one = await connection().open(option);
		one.data('x', { options: 'fd00ffff' });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('none of them good', async () => {
		const one = await connection().open('fd00ffff');
		one.data('x', { options: 'fd01ffff' });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(malformed);
	});

	it('malformed after the first data: not read any more', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.data('y', { options: 'fd00ffff' });
		await one.acknowledged(2);
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});
});

describe('segments that the kernel does not accept for this connection', () => {
	it('outside the window', async () => {
		const one = await connection().open();
		one.send('A', { at: 1 << 24, options: option });
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('a SYN in the middle', async () => {
		const one = await connection().open();
		one.send('S', { at: 0, options: option });
		one.reset({ at: 0 });
		expect(await stage.reported(one)).toEqual(noOption);
	});

	it('that acknowledge what was never sent', async () => {
		const one = await connection().open();
		one.send('A', { acknowledging: 1 << 20, options: option });
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});

	it('a RST instead of the handshake ACK: there is no connection', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.reset({ options: option });
		await stage.wire.handled();
		expect(await lookUp(stage.daemon, one.peer)).toEqual([]);
	});

	it('a handshake ACK that acknowledges another SYN: there is no connection', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.send('A', { acknowledging: 1, options: option });
		await one.next(({ flags }) => flags === 'R');
		expect(await lookUp(stage.daemon, one.peer)).toEqual([]);
	});

	it('that acknowledge nothing', async () => {
		const one = await connection().open();
		one.send('P', { data: 'x', options: option, at: 0 });
		one.reset({ at: 0 });
		expect(await stage.reported(one)).toEqual(noOption);
	});
});

it('each connection is counted once', () => stage.expectCounted());
