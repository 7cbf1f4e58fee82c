// SPDX-License-Identifier: Apache-2.0
/**
 * What getsockopt(4096) returns depending on settings, and beside another toascope. These tests are
 * separate from the contract's, since each of them starts daemons.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon } from '../kit/daemon/daemon.ts';
import { answerFor, lookup, untouched } from '../kit/wire/nat64_peer.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { ipv4Of, listeners, Stage, somePorts, type Variant } from '../kit/wire/toa_stage.ts';

const firstPort = somePorts(2);
const config = (...more: string[]) => [`listeners: {ports: ["${firstPort}-${firstPort + 1}"]}`, ...more].join('\n');

let stage: Stage;

beforeAll(async () => {
	stage = await Stage.open(firstPort);
});
afterAll(async () => {
	await stage[Symbol.asyncDispose]();
});

describe('4096 with sockopt.ipv4: refuse', () => {
	it.each(listeners)(
		'%s: succeeds for IPv6 clients, and for IPv4 clients only after a reload that allows it',
		async (listener) => {
			await using daemon = await Daemon.start({ config: config('sockopt: {ipv4: refuse}') });
			const ask = async (variant: Variant) => {
				await using connection = await stage.connect(listener, variant);
				return [await lookup(connection), connection.client] as const;
			};
			const [six, { address, port }] = await ask('nat64');
			expect(six).toMatchObject({ result: 0, bytes: answerFor(address, port) });
			const [four] = await ask('toa4');
			expect(four).toEqual({ result: -1, error: noToaError, length: 20, bytes: untouched(20) });
			await daemon.reload(config('sockopt: on'));
			const [mapped, client] = await ask('toa4');
			expect(mapped).toMatchObject({ result: 0, bytes: answerFor(`::ffff:${ipv4Of(client.address)}`, client.port) });
		},
	);

	it('is set by the environment, over a file with the short form', async () => {
		const env = { TOASCOPE_SOCKOPT_IPV4: 'refuse' };
		await using _ = await Daemon.start({ config: config('sockopt: on'), env });
		await using connection = await stage.connect('AF_INET', 'toa4');
		expect(await lookup(connection)).toMatchObject({ result: -1, error: noToaError });
	});
});

describe('4096 on a port that is not watched', () => {
	it.each(listeners)('%s: behaves as without toascope', async (listener) => {
		await using daemon = await Daemon.start({ config: 'listeners: {ports: [1]}' });
		await using connection = await stage.connect(listener, 'nat64');
		const withIt = await lookup(connection);
		await daemon.stop();
		expect(withIt).toEqual(await lookup(connection));
	});
});

describe('4096 beside another toascope, which watches other ports', () => {
	// programs run in the order in which they were attached
	it.each(['before', 'after'])('works if the other was attached %s this one', async (order) => {
		const other = 'listeners: {ports: [1]}';
		await using _first = await Daemon.start({ config: order === 'before' ? other : config() });
		await using _second = await Daemon.start({ config: order === 'before' ? config() : other });
		{
			await using connection = await stage.connect('AF_INET', 'nat64');
			const { client } = connection;
			expect(await lookup(connection)).toMatchObject({ result: 0, bytes: answerFor(client.address, client.port) });
		}
		await using without = await stage.connect('AF_INET', 'none');
		expect(await lookup(without)).toMatchObject({ result: -1, error: noToaError });
	});
});
