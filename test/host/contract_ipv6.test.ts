// SPDX-License-Identifier: Apache-2.0
/**
 * The contract: connections that arrive over IPv6, and an option that arrives after
 * accept().
 */
import ipaddr from 'ipaddr.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { type ListenerKind, Probe } from '../kit/wire/probe.ts';
import { type Destination, ToaClient } from '../kit/wire/toa_client.ts';
import { type AddressPort, somePorts } from '../kit/wire/toa_stage.ts';

const kinds = ['4', 'dual', '6'] as const;
const firstPort = somePorts(kinds.length);
const config = (transparent: 'on' | 'off') =>
	`listeners: {ports: ["${firstPort}-${firstPort + 2}"]}\ntransparent: ${transparent}`;

/** With kind 254, this port looks like the magic number of TCP Fast Open. */
const ipv6Client: AddressPort = { address: '2001:db8:c::1', port: 63_881 };
const ipv4Client: AddressPort = { address: '::ffff:203.0.113.7', port: 40_000 };

let lab: Lab;
let probes: Record<ListenerKind, Probe>;

beforeAll(async () => {
	lab = await Lab.open();
	const [ipv4, dual, ipv6] = await Promise.all(kinds.map((kind, i) => Probe.start(lab, kind, firstPort + i)));
	probes = { '4': ipv4, dual, '6': ipv6 } as Record<ListenerKind, Probe>;
});
afterAll(async () => {
	await lab.close();
});

/** Connects. The probe has accepted the connection, and no data has been sent. */
async function connect(kind: ListenerKind, to: Omit<Destination, 'port'>) {
	const probe = probes[kind];
	const [accepted, client] = await Promise.all([probe.accept(), ToaClient.connect(lab, { ...to, port: probe.port })]);
	const close = async () => {
		await client.close();
		await probe.closeConnection();
	};
	return { probe, accepted, client, [Symbol.asyncDispose]: close };
}

const lookup = (probe: Probe) => probe.getsockopt(0, 4096, 20);

const answerFor = ({ address, port }: AddressPort) =>
	Buffer.from([...ipaddr.parse(address).toByteArray(), port >> 8, port & 0xff, 0, 0]);

const options = [
	['nat64', ipv6Client],
	['toa6', ipv6Client],
	['toa4', ipv4Client],
] as const;

const overIpv6 = (['dual', '6'] as const).flatMap((kind) =>
	options.map(([profile, client]) => [kind, profile, client] as const),
);

describe.each(['off', 'on'] as const)('over IPv6, transparent %s', (transparent) => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config(transparent) });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each(overIpv6)('AF_INET6 listener (%s), %s, client %o', async (kind, profile, client) => {
		await using connection = await connect(kind, { address: '::1', profile, on: 'ack', client });
		const { probe, accepted } = connection;
		const balancer = { address: '::1', port: connection.client.port };
		expect(accepted).toEqual({ family: 10, length: 28, ...(transparent === 'on' ? client : balancer) });
		expect(await probe.getpeername()).toEqual(accepted);
		expect(await lookup(probe)).toMatchObject({ result: 0, length: 20, bytes: answerFor(client) });
	});
});

describe('an option on the data, which arrives after accept(), takes effect then', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config('on') });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	it.each<[ListenerKind, string, Destination['profile'], AddressPort, string, string]>([
		['4', '127.0.0.1', 'toa4', ipv4Client, '127.0.0.1', '203.0.113.7'],
		['4', '127.0.0.1', 'nat64', ipv6Client, '127.0.0.1', '127.0.0.1'],
		['dual', '127.0.0.1', 'nat64', ipv6Client, '::ffff:127.0.0.1', ipv6Client.address],
		['dual', '127.0.0.1', 'toa6', ipv6Client, '::ffff:127.0.0.1', ipv6Client.address],
		['dual', '127.0.0.1', 'toa4', ipv4Client, '::ffff:127.0.0.1', ipv4Client.address],
		['dual', '::1', 'toa6', ipv6Client, '::1', ipv6Client.address],
	])('listener %s, to %s, %s', async (kind, address, profile, client, before, after) => {
		await using connection = await connect(kind, { address, profile, on: 'data', client });
		const { probe, accepted } = connection;
		expect(accepted).toMatchObject({ address: before, port: connection.client.port });
		expect(await lookup(probe)).toMatchObject({ result: -1, error: noToaError });
		connection.client.send();
		await probe.read();
		const port = after === before ? connection.client.port : client.port;
		expect(await probe.getpeername()).toMatchObject({ address: after, port });
		expect(await lookup(probe)).toMatchObject({ result: 0, bytes: answerFor(client) });
	});
});
