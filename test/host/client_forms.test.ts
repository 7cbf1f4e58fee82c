// SPDX-License-Identifier: Apache-2.0
/**
 * Clients in different layouts of the option: IPv4 in an IPv6 layout, and without a port. What
 * applications, lookups and metrics show of them.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab } from '../../daemon/lab/lab.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { closedConnection } from '../kit/daemon/lookup.ts';
import { type ListenerKind, Probe } from '../kit/wire/probe.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const client4 = '203.0.113.9';
const clientPort = 4444;
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

/**
 * Makes a connection with these options. Resolves with what the application and the daemon report
 * about it.
 */
async function observe(kind: ListenerKind, { syn = '', ack = '' }) {
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

/** A struct toa_nat64_peer. */
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
		['nat64', toaOption('nat64', `::ffff:${client4}`, clientPort)],
		['toa6', toaOption('toa6', `::ffff:${client4}`, clientPort)],
		['toa4', toaOption('toa4', client4, clientPort)],
		['toa4 and nat64', toaOption('toa4', client4, clientPort) + toaOption('nat64', `::ffff:${client4}`, clientPort)],
	])('an IPv4 client in %s is reported as an IPv4 client', async (_layout, ack) => {
		const { accepted, answer, known } = await observe(kind, { ack });
		expect(accepted).toMatchObject({ address: shown(client4), port: clientPort });
		expect(answer).toMatchObject({ result: 0, bytes: answerFor(client4, clientPort) });
		expect(known).toMatchObject({ verdict: 'toa', client: { address: client4, port: clientPort } });
	});

	it.each([
		['cdn4 on the SYN', { syn: toaOption('cdn4', client4) }],
		['cdn6 on the SYN, of an IPv4 client', { syn: toaOption('cdn6', `::ffff:${client4}`) }],
		['toa4 with port 0', { ack: toaOption('toa4', client4, 0) }],
		['nat64 with port 0, of an IPv4 client', { ack: toaOption('nat64', `::ffff:${client4}`, 0) }],
	])('an option without a port, %s: the application sees the port of the peer', async (_name, options) => {
		const { accepted, answer, known, peer, balancerPort } = await observe(kind, options);
		// otherwise the application could not distinguish two connections of one client
		expect(accepted).toMatchObject({ address: shown(client4), port: balancerPort });
		expect(answer).toMatchObject({ result: 0, bytes: answerFor(client4, 0) });
		expect(known).toMatchObject({ verdict: 'toa', client: { address: client4, port: null } });
		const { out } = await toascope(['lookup', peer, '--url', daemon.url]);
		expect(out).toMatch(new RegExp(`^${peer} -> ${client4.replaceAll('.', '[.]')}  `));
	});
});

it('an option without a port, an IPv6 client: the application sees its address and the port of the peer', async () => {
	const { accepted, known, peer, balancerPort } = await observe('dual', { syn: toaOption('cdn6', ipv6) });
	expect(accepted).toMatchObject({ address: ipv6, port: balancerPort });
	expect(known).toMatchObject({ client: { address: ipv6, port: null } } satisfies Partial<ConnectionJson>);
	const { out } = await toascope(['lookup', peer, '--url', daemon.url]);
	expect(out).toMatch(new RegExp(`^${peer} -> ${ipv6}  `));
});

it('each client has one series, for the prefix length of its own family', async () => {
	await daemon.until((samples) => samples.some(({ labels }) => labels.client === '2001:db8::/64') || undefined);
	expect(new Set(await exportedClients())).toEqual(new Set([client4, '2001:db8::/64', 'direct', 'other']));
});
