// SPDX-License-Identifier: Apache-2.0
/** The virtual server that a VTOA option names: in lookups, on the command line and on spans. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toascope } from '../kit/daemon/command.ts';
import { closedConnection } from '../kit/daemon/lookup.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

let stage: WireStage<'plain'>;
let own: WireStage<'plain'>;
let receiver: OtlpReceiver;
/** Number of connections on the stage, each with a client: that many spans are sent. */
let made = 0;

beforeAll(async () => {
	receiver = await startOtlpReceiver();
	const spans = `otel: {endpoint: "${receiver.endpoint}"}`;
	stage = await WireStage.open({ plain: ['4'] }, { config: ['balancer: aliyun-vtoa', spans] });
	const layout = 'kind: 99, length: 14, family: ipv4, vip_at: 2, vport_at: 6, vni_at: 8, vni: be32';
	own = await WireStage.open({ plain: ['4'] }, { config: [`profiles: [toa4, {name: mine, ${layout}}]`] });
});
afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
	await own?.[Symbol.asyncDispose]();
	await receiver?.close();
});

async function closed(on: WireStage<'plain'>, options: string): Promise<WireConnection> {
	if (on === stage) made++;
	const one = on.connection('plain');
	one.syn();
	await one.synAck();
	one.acknowledge(options);
	one.reset();
	return one;
}

const client4 = { address: '203.0.113.7', port: 5555 };
const client6 = { address: '2001:db8::42', port: 5555 };
const toa4 = toaOption('toa4', client4.address);
/** Port 5555, client, VNI 77 in little-endian order, 198.51.100.5, port 3306, padding. */
const vtoa4 = 'fc1415b3cb0071074d000000c63364050cea0000';
/** Port 5555, client, VNI 0x0a0b0c, a reserved byte, virtual server. */
const vtoa6 = 'f92815b320010db80000000000000000000000420a0b0c0020010db8000000000000000000000005';
const vip4 = 'fa080ceac6336405';
const server = { address: '198.51.100.5', port: 3306 };

it.each([
	['vtoa4', vtoa4, 'vtoa4', client4, { ...server, vni: 77 }],
	['vtoa6', vtoa6, 'vtoa6', client6, { address: '2001:db8::5', port: null, vni: 0x0a0b0c }],
	['vip4 after toa4', toa4 + vip4, 'toa4', client4, { ...server, vni: null }],
	['vip4 before toa4', vip4 + toa4, 'toa4', client4, { ...server, vni: null }],
	['toa4, which names none', toa4, 'toa4', client4, null],
])('%s', async (_, options, profile, client, virtual_server) => {
	const { peer } = await closed(stage, options);
	expect(await closedConnection(stage.daemon, peer)).toMatchObject({ verdict: 'toa', profile, client, virtual_server });
});

it('the virtual server is in the output of toascope lookup, and on the span', async () => {
	const { peer } = await closed(stage, vtoa4);
	await closedConnection(stage.daemon, peer);
	const { code, out } = await toascope(['lookup', peer, '--socket', stage.daemon.socket]);
	expect(code).toBe(0);
	expect(out.split('\n')[1]).toBe('  virtual server  198.51.100.5:3306 (VNI 77)');
	const port = BigInt(peer.split(':').at(-1) ?? 0);
	const spans = await receiver.waitForSpans(made);
	expect(spans.find(({ attributes }) => attributes['network.peer.port'] === port)?.attributes).toMatchObject({
		'toascope.virtual_server.address': server.address,
		'toascope.virtual_server.port': 3306n,
		'toascope.virtual_server.vni': 77n,
	});
});

it('a configured profile reads the virtual server, next to the client of another option', async () => {
	const { peer } = await closed(own, `${toa4}630ec63364050cea01020304${'0000'}`);
	expect(await closedConnection(own.daemon, peer)).toMatchObject({
		client: client4,
		virtual_server: { ...server, vni: 0x01020304 },
	});
});
