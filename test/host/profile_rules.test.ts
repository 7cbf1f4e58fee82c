// SPDX-License-Identifier: Apache-2.0
/** Several options on one connection where a profile says how they go together, and what is no option of TOA. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { total } from '../fixtures/metrics.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import type { WireConnection } from '../fixtures/wire_connection.ts';
import { type Said, saidNone, WireStage } from '../fixtures/wire_stage.ts';

const client = '203.0.113.7';
const balancer = '203.0.113.8';
const ipv6 = '2001:db8::42';

let stage: WireStage<'plain' | 'fastopen'>;

beforeAll(async () => {
	stage = await WireStage.open(
		{ plain: ['4'], fastopen: ['4', 'fastopen'] },
		{
			// a cookie is not required: any will do
			sysctls: { 'ipv4/tcp_fastopen': '515' },
			config: [
				`profiles:
  - {name: nat64, priority: 1}
  - tencent
  - {name: toa4, pick: last}
  - {name: cdn4, priority: 2}
  - {name: early, kind: 99, length: 8, family: ipv4, port_at: 2, address_at: 4, syn: on}
  - {name: late, kind: 100, length: 6, family: ipv4, address_at: 2}
  - {name: mine, kind: 254, length: 12, family: ipv4, port_at: 2, address_at: 4, syn: on}`,
			],
		},
	);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const said = (profile: string, segment: string, address: string, port: number | null): Said => ({
	verdict: 'toa',
	profile,
	segment,
	client: { address, port },
});

async function open(syn: string, ack: string): Promise<WireConnection> {
	const one = stage.connection('plain');
	one.syn({ options: syn });
	await one.synAck();
	one.acknowledge(ack);
	return one;
}

const early = (address: string) => toaOption('toa4', address).replace(/^fe/, '63');
const late = (address: string) => `6406${toaOption('toa4', address).slice(8)}`;

it.each<[string, { syn?: string; ack?: string }, Said]>([
	[
		'Tencent: the IPv4 address before SNAT, and the IPv6 client',
		{ ack: toaOption('tencent', balancer) + toaOption('nat64', ipv6) },
		said('nat64', 'ack', ipv6, 5555),
	],
	[
		'the other way round',
		{ ack: toaOption('nat64', ipv6) + toaOption('tencent', balancer) },
		said('nat64', 'ack', ipv6, 5555),
	],
	[
		'a chain of balancers',
		{ ack: toaOption('toa4', balancer) + toaOption('toa4', client) },
		said('toa4', 'ack', client, 5555),
	],
	[
		'a higher priority on the SYN',
		{ syn: toaOption('cdn4', client), ack: toaOption('toa4', balancer) },
		said('cdn4', 'syn', client, null),
	],
	[
		'a lower priority on the SYN',
		{ syn: early(balancer), ack: toaOption('nat64', ipv6) },
		said('nat64', 'ack', ipv6, 5555),
	],
	[
		'one client, whose port only the SYN has',
		{ syn: early(client), ack: late(client) },
		said('late', 'ack', client, 5555),
	],
	['another experiment on the SYN', { syn: 'fe0cf9890102030405060708' }, saidNone],
	['port 63881 on the ACK', { ack: 'fe0cf989cb00710701010101' }, said('mine', 'ack', client, 63_881)],
])('%s', async (_name, { syn = '', ack = '' }, expected) => {
	expect(await stage.saidAfterReset(await open(syn, ack))).toEqual(expected);
});

it('a Fast Open cookie of the old experiment, on the SYN that makes the socket, is no client', async () => {
	const one = stage.connection('fastopen');
	one.syn({ options: 'fe08f98901020304', data: 'hello' });
	await one.synAck();
	one.acknowledge();
	expect(await stage.saidAfterReset(one)).toEqual(saidNone);
});

it('nothing of it is a conflict, but what the rules do not cover', async () => {
	await stage.expectVerdictsCounted();
	const one = await open('', toaOption('tencent', balancer) + toaOption('toa4', client));
	expect(await stage.saidAfterReset(one)).toMatchObject({ verdict: 'conflict', client: { address: balancer } });
	const samples = await stage.daemon.metrics();
	expect(total(samples, 'toascope_handshakes_total', { result: 'conflict' })).toBeLessThanOrEqual(1n);
});
