// SPDX-License-Identifier: Apache-2.0
/** Which segment carries the option, and which options count: hand-made connections, from the SYN to the reset. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lookUp } from '../fixtures/lookup.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { type Said, saidNone, WireStage } from '../fixtures/wire_stage.ts';

const client = { address: '2001:db8::42', port: 5555 };
const option = toaOption('nat64', client.address);
const another = toaOption('nat64', '2001:db8::43');
const on = (segment: string): Said => ({ verdict: 'toa', profile: 'nat64', segment, client });
const malformed: Said = { ...saidNone, verdict: 'malformed' };

let stage: WireStage<'server'>;

beforeAll(async () => {
	stage = await WireStage.open({ server: ['4'] });
});

afterAll(() => stage?.[Symbol.asyncDispose]());

const connection = () => stage.connection('server');

describe('the option stands', () => {
	it('on the SYN alone: not for profiles that are not marked', async () => {
		const one = connection();
		one.syn({ options: option });
		await one.synAck();
		one.acknowledge();
		one.data('x');
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});

	it('on the ACK that ends the handshake', async () => {
		expect(await stage.saidAfterReset(await connection().open(option))).toEqual(on('ack'));
	});

	it('on a second bare ACK', async () => {
		const one = await connection().open();
		one.acknowledge(option);
		expect(await stage.saidAfterReset(one)).toEqual(on('ack'));
	});

	it('on the first data', async () => {
		const one = await connection().open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('data'));
	});

	it('on the second data, before any is acknowledged: the first was lost', async () => {
		const one = await connection().open();
		one.data('y', { options: option, at: 1 });
		one.data('x', { at: 0 });
		await one.acknowledged(2);
		expect(await stage.saidAfterReset(one)).toEqual(on('data'));
	});

	it('on the second data, after the first was acknowledged: too late', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.data('y', { options: option });
		await one.acknowledged(2);
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});

	it('on a bare ACK after the first data: too late', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.acknowledge(option);
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});

	it('on data that makes the socket: the handshake ACK was lost', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('ack'));
	});

	it('on the FIN of a client that sends nothing', async () => {
		const one = await connection().open();
		one.fin({ options: option });
		one.took(await one.finished());
		one.acknowledge();
		expect(await stage.said(one)).toEqual(on('ack'));
	});

	it('on the data that comes with the FIN', async () => {
		const one = await connection().open();
		one.fin({ options: option, data: 'x' });
		one.took(await one.finished());
		one.acknowledge();
		expect(await stage.said(one)).toEqual(on('data'));
	});

	it('on a FIN that makes the socket', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.fin({ options: option });
		one.took(await one.finished());
		one.acknowledge();
		expect(await stage.said(one)).toEqual(on('ack'));
	});

	it('on the RST alone: it is no segment of the connection any more', async () => {
		const one = await connection().open();
		one.reset({ options: option });
		expect(await stage.said(one)).toEqual(saidNone);
	});

	it('beside timestamps, on a connection that has them', async () => {
		const one = connection();
		const timestamps = (answer: string) => `0101080a00000001${answer}`;
		one.syn({ options: timestamps('00000000') });
		const { options } = await one.synAck();
		const theirs = /080a(.{8})/.exec(options)?.[1] ?? '';
		one.acknowledge(timestamps(theirs) + option);
		one.data('x', { options: timestamps(theirs) + option });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('ack'));
	});
});

describe('kind 254 with port 63881, which looks like the magic of Fast Open', () => {
	const magic = { address: client.address, port: 0xf989 };
	const lookalike = toaOption('toa6', magic.address, magic.port);

	it('on the ACK', async () => {
		const said = await stage.saidAfterReset(await connection().open(lookalike));
		expect(said).toEqual({ verdict: 'toa', profile: 'toa6', segment: 'ack', client: magic });
	});

	it('on the first data', async () => {
		const one = await connection().open();
		one.data('x', { options: lookalike });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual({
			verdict: 'toa',
			profile: 'toa6',
			segment: 'data',
			client: magic,
		});
	});
});

describe('several options', () => {
	it('that differ, on two segments: looking ends with the first', async () => {
		const one = await connection().open(option);
		one.data('x', { options: another });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('ack'));
	});

	it('that differ, in one list on data', async () => {
		const one = await connection().open();
		one.data('x', { options: option + another });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual({ ...on('data'), verdict: 'conflict' });
	});

	it('of which the first is malformed', async () => {
		const one = await connection().open('fd00ffff');
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('data'));
	});

	it('of which the first is good: what follows is not looked at', async () => {
		const one = await connection().open(option);
		one.data('x', { options: 'fd00ffff' });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(on('ack'));
	});

	it('none of them good', async () => {
		const one = await connection().open('fd00ffff');
		one.data('x', { options: 'fd01ffff' });
		await one.acknowledged(1);
		expect(await stage.saidAfterReset(one)).toEqual(malformed);
	});

	it('malformed after the first data: no longer looked for', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.data('y', { options: 'fd00ffff' });
		await one.acknowledged(2);
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});
});

describe('segments that the kernel does not take for this connection', () => {
	it('outside the window', async () => {
		const one = await connection().open();
		one.send('A', { at: 1 << 24, options: option });
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});

	it('a SYN in the middle', async () => {
		const one = await connection().open();
		one.send('S', { at: 0, options: option });
		one.reset({ at: 0 });
		expect(await stage.said(one)).toEqual(saidNone);
	});

	it('that acknowledge what was never sent', async () => {
		const one = await connection().open();
		one.send('A', { acknowledging: 1 << 20, options: option });
		expect(await stage.saidAfterReset(one)).toEqual(saidNone);
	});

	it('a RST in place of the handshake ACK: there is no connection', async () => {
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
		expect(await stage.said(one)).toEqual(saidNone);
	});
});

it('each connection is counted once', () => stage.expectCounted());
