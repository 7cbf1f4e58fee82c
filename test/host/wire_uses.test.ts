// SPDX-License-Identifier: Apache-2.0
/**
 * Profiles with different uses: getsockopt(4096) returns the client of one, getpeername() that of
 * another, and the records consider all.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { Probe } from '../kit/wire/probe.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const [snat, client6, client4, other] = ['203.0.113.7', '2001:db8::42', '203.0.113.8', '203.0.113.9'] as const;
/**
 * The options that Tencent Cloud's NAT64 sends: the IPv4 address before SNAT, and the IPv6 client.
 */
const both = toaOption('tencent', snat) + toaOption('nat64', client6);

const config = [
	'transparent: on',
	`profiles: [{name: nat64, priority: 1, uses: [sockopt]}, {name: tencent, uses: [transparent]}, {name: cdn4, uses: [transparent]}, toa4]`,
];

let stage: WireStage<'plain'>;
let probe: Probe;

beforeAll(async () => {
	stage = await WireStage.open({ plain: ['4'] }, { config });
	probe = await Probe.start(stage.lab, '4', stage.listeners.plain.port + 1);
});

afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
});

interface VisibleClient {
	/** What getsockopt(4096) returns; undefined if there is no client. */
	readonly sockopt: string | undefined;
	/** What getpeername() returns; `peer` if it is the peer's own address. */
	readonly peername: string;
}

/** Makes a connection with these options. Resolves with what the application sees. */
async function connectAndAsk(
	ack: string | undefined,
	syn?: string,
): Promise<{ one: WireConnection; visible: VisibleClient }> {
	const one = stage.wire.connection({ to: probe.port });
	one.syn(syn === undefined ? {} : { options: syn });
	await one.synAck();
	one.acknowledge(ack);
	const accepted = await probe.accept();
	const { address, port } = await probe.getpeername();
	expect({ address: accepted.address, port: accepted.port }).toEqual({ address, port });
	const { result, error, bytes } = await probe.getsockopt(0, 4096, 20);
	if (result < 0) expect(error).toBe(noToaError);
	const peername = `${address}:${port}` === one.peer ? 'peer' : address;
	await probe.closeConnection();
	one.reset();
	return { one, visible: { sockopt: result < 0 ? undefined : bytes.subarray(0, 16).toString('hex'), peername } };
}

const mapped = (address: string) =>
	`${'00'.repeat(10)}ffff${Buffer.from(address.split('.').map(Number)).toString('hex')}`;
const ipv6 = '20010db8000000000000000000000042';

describe('options on one segment', () => {
	it('one for each use: each use gets its own, and the record the one with the higher priority', async () => {
		const { one, visible } = await connectAndAsk(both);
		expect(visible).toEqual({ sockopt: ipv6, peername: snat });
		expect(await stage.reported(one)).toMatchObject({
			verdict: 'toa',
			profile: 'nat64',
			client: { address: client6, port: 5555 },
		});
	});

	it('only one for sockopt', async () => {
		const { one, visible } = await connectAndAsk(toaOption('nat64', client6));
		expect(visible).toEqual({ sockopt: ipv6, peername: 'peer' });
		expect(await stage.reported(one)).toMatchObject({ verdict: 'toa', client: { address: client6 } });
	});

	it('only one for transparent', async () => {
		const { one, visible } = await connectAndAsk(toaOption('tencent', snat));
		expect(visible).toEqual({ sockopt: undefined, peername: snat });
		expect(await stage.reported(one)).toMatchObject({ verdict: 'toa', profile: 'tencent', client: { address: snat } });
	});

	it('one for both uses', async () => {
		const { visible } = await connectAndAsk(toaOption('toa4', client4));
		expect(visible).toEqual({ sockopt: mapped(client4), peername: client4 });
	});

	it('none', async () => {
		expect((await connectAndAsk(undefined)).visible).toEqual({ sockopt: undefined, peername: 'peer' });
	});

	it('a client that getpeername() shows is not counted as hidden by its family', async () => {
		const { one } = await connectAndAsk(both);
		await stage.reported(one);
		const samples = await stage.daemon.metrics();
		const hidden = samples.filter(({ name }) => name.includes('hidden'));
		const sum = hidden.reduce((total, { value }) => total + Number(value), 0);
		expect({ series: hidden.length > 0, sum }).toEqual({ series: true, sum: 0 });
	});
});

describe('an option on the SYN, and one on a later segment', () => {
	it('for different uses: both count', async () => {
		const { visible } = await connectAndAsk(toaOption('nat64', client6), toaOption('cdn4', client4));
		expect(visible).toEqual({ sockopt: ipv6, peername: client4 });
	});

	it('for the same use: the later one counts', async () => {
		const { visible } = await connectAndAsk(toaOption('tencent', other), toaOption('cdn4', client4));
		expect(visible).toEqual({ sockopt: undefined, peername: other });
	});

	it('only on the SYN', async () => {
		const { visible } = await connectAndAsk(undefined, toaOption('cdn4', client4));
		expect(visible).toEqual({ sockopt: undefined, peername: client4 });
	});
});

describe('a reload that introduces uses', () => {
	it('keeps the client of an open connection, for the uses of its profile', async () => {
		const alike = ['transparent: on', 'profiles: [nat64, tencent, toa4]'];
		await using before = await WireStage.open({ plain: ['4'] }, { config: alike });
		const { port } = before.listeners.plain;
		const probes = [await Probe.start(before.lab, '4', port + 1), await Probe.start(before.lab, '4', port + 2)];
		const options = [toaOption('tencent', snat), toaOption('toa4', client4)];
		for (const [index, one] of probes.entries()) {
			const connection = before.wire.connection({ to: one.port });
			connection.syn();
			await connection.synAck();
			connection.acknowledge(options[index]);
			await one.accept();
		}
		const visibleTo = async (one: Probe) => {
			const { result, bytes } = await one.getsockopt(0, 4096, 20);
			return [(await one.getpeername()).address, result < 0 ? undefined : bytes.subarray(0, 16).toString('hex')];
		};
		expect(await Promise.all(probes.map(visibleTo))).toEqual([
			[snat, mapped(snat)],
			[client4, mapped(client4)],
		]);
		const text = readFileSync(before.daemon.configFile, 'utf8');
		await before.daemon.reload(text.replace('tencent,', '{name: tencent, uses: [transparent]},'));
		expect(await Promise.all(probes.map(visibleTo))).toEqual([
			[snat, undefined],
			[client4, mapped(client4)],
		]);
	});
});
