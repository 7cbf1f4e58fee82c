// SPDX-License-Identifier: Apache-2.0
/** A client as different layouts carry it: IPv4 in an IPv6 layout, and without a port. What applications and readers see of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/http/json.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { toascope } from '../fixtures/command.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { closedConnection } from '../fixtures/lookup.ts';
import { type ListenerKind, Probe } from '../fixtures/probe.ts';
import { somePorts } from '../fixtures/stage.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

const viewer = '203.0.113.9';
const viewerPort = 4444;
const ipv6 = '2001:db8::42';
const port = somePorts(2);

let lab: Lab;
let wire: Wire;
let daemon: Daemon;
const probes: Record<string, Probe> = {};

beforeAll(async () => {
	lab = await Lab.open();
	wire = await Wire.open(lab);
	daemon = await Daemon.start({
		config: [
			`listeners: {ports: ["${port}-${port + 1}"]}`,
			`trust: ["${wireNetwork.hosts4}"]`,
			'profiles: [nat64, toa6, toa4, cdn4, cdn6]',
			'clients: {prefix6: 64}',
			'transparent: on',
		].join('\n'),
	});
	probes['4'] = await Probe.start(lab, '4', port);
	probes.dual = await Probe.start(lab, 'dual', port + 1);
});
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

/** A connection with these options, and what the application and the daemon say of it. */
async function seen(kind: ListenerKind, { syn = '', ack = '' }) {
	const probe = probes[kind];
	if (probe === undefined) throw new Error(`no probe ${kind}`);
	const connection = wire.connection({ to: probe.port });
	connection.syn({ options: syn });
	await connection.synAck();
	connection.acknowledge(ack);
	const accepted = await probe.accept();
	expect(await probe.getpeername()).toEqual(accepted);
	const answer = await probe.getsockopt(0, 4096, 20);
	connection.reset();
	await probe.closeConnection();
	const known = await closedConnection(daemon, connection.peer);
	const [, balancerPort] = connection.peer.split(':');
	return { accepted, answer, known, peer: connection.peer, balancerPort: Number(balancerPort) };
}

/** struct toa_nat64_peer */
function answerFor(ipv4: string, clientPort: number): Buffer {
	const bytes = Buffer.alloc(20);
	bytes.set([0xff, 0xff, ...ipv4.split('.').map(Number)], 10);
	bytes.writeUInt16BE(clientPort, 16);
	return bytes;
}

async function exportedClients(): Promise<string[]> {
	const samples = await daemon.metrics();
	return samples.flatMap(({ name, labels }) =>
		name === 'toascope_client_connections_opened_total' ? [labels.client ?? ''] : [],
	);
}

describe.each(['4', 'dual'] as const)('listener %s', (kind) => {
	const shown = (address: string) => (kind === 'dual' ? `::ffff:${address}` : address);

	it.each([
		['nat64', toaOption('nat64', `::ffff:${viewer}`, viewerPort)],
		['toa6', toaOption('toa6', `::ffff:${viewer}`, viewerPort)],
		['toa4', toaOption('toa4', viewer, viewerPort)],
		['toa4 and nat64', toaOption('toa4', viewer, viewerPort) + toaOption('nat64', `::ffff:${viewer}`, viewerPort)],
	])('an IPv4 client in %s is that client', async (_layout, ack) => {
		const { accepted, answer, known } = await seen(kind, { ack });
		expect(accepted).toMatchObject({ address: shown(viewer), port: viewerPort });
		expect(answer).toMatchObject({ result: 0, bytes: answerFor(viewer, viewerPort) });
		expect(known).toMatchObject({ verdict: 'toa', client: { address: viewer, port: viewerPort } });
	});

	it.each([
		['cdn4 on the SYN', { syn: toaOption('cdn4', viewer) }],
		['cdn6 on the SYN, of an IPv4 client', { syn: toaOption('cdn6', `::ffff:${viewer}`) }],
		['toa4 with port 0', { ack: toaOption('toa4', viewer, 0) }],
		['nat64 with port 0, of an IPv4 client', { ack: toaOption('nat64', `::ffff:${viewer}`, 0) }],
	])('no port: %s', async (_name, options) => {
		const { accepted, answer, known, peer, balancerPort } = await seen(kind, options);
		// two connections of one client would else be one to the application
		expect(accepted).toMatchObject({ address: shown(viewer), port: balancerPort });
		expect(answer).toMatchObject({ result: 0, bytes: answerFor(viewer, 0) });
		expect(known).toMatchObject({ verdict: 'toa', client: { address: viewer, port: null } });
		const { out } = await toascope(['lookup', peer, '--url', daemon.url]);
		expect(out).toMatch(new RegExp(`^${peer} -> ${viewer.replaceAll('.', '[.]')}  `));
	});
});

it('no port, an IPv6 client: the address and the port of the peer', async () => {
	const { accepted, known, peer, balancerPort } = await seen('dual', { syn: toaOption('cdn6', ipv6) });
	expect(accepted).toMatchObject({ address: ipv6, port: balancerPort });
	expect(known).toMatchObject({ client: { address: ipv6, port: null } } satisfies Partial<ConnectionJson>);
	const { out } = await toascope(['lookup', peer, '--url', daemon.url]);
	expect(out).toMatch(new RegExp(`^${peer} -> ${ipv6}  `));
});

it('each client has one series, cut by the prefix of its own family', async () => {
	await daemon.until((samples) => samples.some(({ labels }) => labels.client === '2001:db8::/64') || undefined);
	expect(new Set(await exportedClients())).toEqual(new Set([viewer, '2001:db8::/64', 'direct', 'other']));
});
