// SPDX-License-Identifier: Apache-2.0
/**
 * The order of segments: lost, retransmitted and overtaken ones, both ends closing, and a server
 * that sends first.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toaOption } from '../kit/wire/toa_option.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { noOption, type ReportedVerdict, WireStage } from '../kit/wire/wire_stage.ts';

const client = { address: '2001:db8::42', port: 5555 };
const option = toaOption('nat64', client.address);
const on = (segment: string): ReportedVerdict => ({ verdict: 'toa', profile: 'nat64', segment, client });

let stage: WireStage<'server' | 'greeting'>;

beforeAll(async () => {
	stage = await WireStage.open({ server: ['4'], greeting: ['4', 'greeting'] });
});

afterAll(() => stage?.[Symbol.asyncDispose]());

const connection = () => stage.connection('server');

describe('retransmitted segments', () => {
	it('a SYN', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.syn();
		await one.synAck();
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('a handshake ACK', async () => {
		const one = await connection().open(option);
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('data that was lost, and has the option when it is retransmitted', async () => {
		const one = await connection().open();
		one.data('x', { at: 0, options: option });
		one.data('x', { at: 0, options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('data that was acknowledged, and has the option only when it is retransmitted: too late', async () => {
		const one = await connection().open();
		one.data('x');
		await one.acknowledged(1);
		one.data('x', { at: 0, options: option });
		expect(await stage.reportedAfterReset(one)).toEqual(noOption);
	});
});

describe('the order of the first segments', () => {
	it('data before the handshake ACK', async () => {
		const one = connection();
		one.syn();
		await one.synAck();
		one.data('x', { options: option });
		one.send('A', { at: 0, options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('the second data, then the first, each with the option', async () => {
		const one = await connection().open();
		one.data('yz', { at: 3, options: option });
		one.data('abc', { at: 0, options: option });
		await one.acknowledged(5);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('the second data without it, then the first with it', async () => {
		const one = await connection().open();
		one.data('yz', { at: 3 });
		one.data('abc', { at: 0, options: option });
		await one.acknowledged(5);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('the FIN before the data', async () => {
		const one = await connection().open();
		one.fin({ at: 1, options: option });
		one.data('x', { at: 0 });
		one.markReceived(await one.finished());
		one.acknowledge();
		expect(await stage.reported(one)).toEqual(on('ack'));
	});
});

describe('the end', () => {
	const bothClose = async (one: WireConnection) => {
		await stage.wire.handled();
		stage.listeners.server.closeConnections();
		const theirs = await one.finished();
		// this FIN does not acknowledge the server's, as if that had not arrived yet
		one.fin();
		await one.next(({ flags }) => flags === 'A');
		one.markReceived(theirs);
		one.acknowledge();
	};

	it('a RST right after the handshake', async () => {
		const one = await connection().open(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('both close at once', async () => {
		const one = await connection().open();
		one.data('x', { options: option });
		await one.acknowledged(1);
		await bothClose(one);
		expect(await stage.reported(one)).toEqual(on('data'));
	});

	it('both close at once, and nothing was sent', async () => {
		const one = await connection().open(option);
		await bothClose(one);
		expect(await stage.reported(one)).toEqual(on('ack'));
	});
});

describe('a server that sends first', () => {
	const greeted = async () => {
		const one = await stage.connection('greeting').open();
		return { one, greeting: await one.next(({ length }) => length > 0) };
	};

	it('the option on the ACK of its greeting', async () => {
		const { one, greeting } = await greeted();
		one.markReceived(greeting);
		one.acknowledge(option);
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});

	it('on data that was sent before the greeting arrived', async () => {
		const { one } = await greeted();
		one.data('x', { options: option });
		await one.acknowledged(1);
		expect(await stage.reportedAfterReset(one)).toEqual(on('data'));
	});

	it('on an ACK that was overtaken by another', async () => {
		const { one, greeting } = await greeted();
		one.markReceived(greeting);
		one.acknowledge();
		one.send('A', { acknowledging: 0, options: option });
		expect(await stage.reportedAfterReset(one)).toEqual(on('ack'));
	});
});

it('each connection is counted once', () => stage.expectCounted());
