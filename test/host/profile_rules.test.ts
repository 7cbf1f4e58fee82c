// SPDX-License-Identifier: Apache-2.0
/**
 * Several options on one connection whose profiles define how they combine, and options that are
 * not TOA.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { total } from '../kit/telemetry/metrics.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { noOption, type ReportedVerdict, WireStage } from '../kit/wire/wire_stage.ts';

const client = '203.0.113.7';
const balancer = '203.0.113.8';
const ipv6 = '2001:db8::42';

let stage: WireStage<'plain' | 'fastopen'>;

beforeAll(async () => {
	stage = await WireStage.open(
		{ plain: ['4'], fastopen: ['4', 'fastopen'] },
		{
			// a cookie is not required, and any is accepted
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

const toa = (profile: string, segment: string, address: string, port: number | null): ReportedVerdict => ({
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

it.each<[string, { syn?: string; ack?: string }, ReportedVerdict]>([
	[
		'Tencent: the IPv4 address before SNAT, and the IPv6 client',
		{ ack: toaOption('tencent', balancer) + toaOption('nat64', ipv6) },
		toa('nat64', 'ack', ipv6, 5555),
	],
	[
		'Tencent, in the reverse order',
		{ ack: toaOption('nat64', ipv6) + toaOption('tencent', balancer) },
		toa('nat64', 'ack', ipv6, 5555),
	],
	[
		'a chain of balancers',
		{ ack: toaOption('toa4', balancer) + toaOption('toa4', client) },
		toa('toa4', 'ack', client, 5555),
	],
	[
		'a higher priority on the SYN',
		{ syn: toaOption('cdn4', client), ack: toaOption('toa4', balancer) },
		toa('cdn4', 'syn', client, null),
	],
	[
		'a lower priority on the SYN',
		{ syn: early(balancer), ack: toaOption('nat64', ipv6) },
		toa('nat64', 'ack', ipv6, 5555),
	],
	[
		'one client, whose port is only on the SYN',
		{ syn: early(client), ack: late(client) },
		toa('late', 'ack', client, 5555),
	],
	['another experiment on the SYN', { syn: 'fe0cf9890102030405060708' }, noOption],
	['port 63881 on the ACK', { ack: 'fe0cf989cb00710701010101' }, toa('mine', 'ack', client, 63_881)],
])('%s', async (_name, { syn = '', ack = '' }, expected) => {
	expect(await stage.reportedAfterReset(await open(syn, ack))).toEqual(expected);
});

it('a Fast Open cookie of the old experiment, on the SYN that creates the socket, is not a client', async () => {
	const one = stage.connection('fastopen');
	one.syn({ options: 'fe08f98901020304', data: 'hello' });
	await one.synAck();
	one.acknowledge();
	expect(await stage.reportedAfterReset(one)).toEqual(noOption);
});

it('only options that the rules do not cover are a conflict', async () => {
	await stage.expectVerdictsCounted();
	const one = await open('', toaOption('tencent', balancer) + toaOption('toa4', client));
	expect(await stage.reportedAfterReset(one)).toMatchObject({ verdict: 'conflict', client: { address: balancer } });
	const samples = await stage.daemon.metrics();
	expect(total(samples, 'toascope_handshakes_total', { result: 'conflict' })).toBeLessThanOrEqual(1n);
});
