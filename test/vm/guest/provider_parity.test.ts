// SPDX-License-Identifier: Apache-2.0
/**
 * Both providers on the same traffic: hand-made segments with the option vectors and others, then
 * clients of the lab through its gateway. Every field of /v1/connections and /v1/clients, and every
 * metric of each listener, is the same.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClientJson } from '../../../daemon/api/client.ts';
import { formatProfile } from '../../../daemon/config/profiles.ts';
import { nat64Server, network } from '../../../daemon/lab/lab.ts';
import { EchoRecords } from '../../kit/daemon/echo_records.ts';
import { metricsAtRest } from '../../kit/daemon/expected_traffic.ts';
import { closedConnection, lookUp, lookUpAll } from '../../kit/daemon/lookup.ts';
import { loadToa, unloadToa } from '../../kit/kernel/module.ts';
import { readVectors } from '../../kit/model/vectors.ts';
import { comparableClient, comparableConnection, comparableSamples } from '../../kit/telemetry/comparable.ts';
import { total } from '../../kit/telemetry/metrics.ts';
import { toaOption } from '../../kit/wire/toa_option.ts';
import type { WireConnection } from '../../kit/wire/wire_connection.ts';
import { WireStage } from '../../kit/wire/wire_stage.ts';

const providers = ['bpf', 'module'] as const;
type Stage = WireStage<'plain' | 'dual' | 'six' | 'fastopen' | 'defer'>;

interface Outcome {
	/** Connections by the name of what they did. */
	readonly byHand: ReadonlyMap<string, object[]>;
	readonly ofLab: readonly object[];
	readonly clients: readonly object[];
	readonly metrics: readonly string[];
	readonly unknownOptions: unknown;
}

const client4 = '203.0.113.7';
const client6 = '2001:db8::42';
const option = toaOption('nat64', client6);
const cdn4 = toaOption('cdn4', client4);
/** An address of the hosts of the wire, but outside of the trusted networks. */
const untrusted = { address: '198.19.0.1', port: 2000 };

type Action = (one: WireConnection, stage: Stage) => Promise<void>;

/** What a connection does, by name; each ends with a reset. */
const cases: Readonly<
	Record<string, readonly [to: 'plain' | 'dual' | 'defer', action: Action, from?: typeof untrusted]>
> = {
	'the option on the ACK': ['plain', async (one) => void (await one.open(option))],
	'on a second ACK': [
		'dual',
		async (one) => {
			await one.open();
			one.acknowledge(option);
		},
	],
	'on the first data': ['plain', (one) => one.open().then(() => sendData(one, option))],
	'on data that follows other data that was lost': [
		'plain',
		async (one) => {
			await one.open();
			one.data('y', { options: option, at: 1 });
			one.data('x', { at: 0 });
			await one.acknowledged(2);
		},
	],
	'too late': [
		'plain',
		async (one) => {
			await one.open();
			await sendData(one);
			one.data('y', { options: option });
			await one.acknowledged(2);
		},
	],
	'on data that creates the socket': [
		'plain',
		async (one) => {
			one.syn();
			await one.synAck();
			await sendData(one, option);
		},
	],
	'on the SYN, and nothing is sent': ['plain', (one) => openWithSyn(one, cdn4)],
	'on the SYN, with data': ['dual', (one) => openWithSyn(one, cdn4).then(() => sendData(one))],
	'on the SYN, another on the ACK': ['plain', (one) => openWithSyn(one, cdn4, option)],
	'on the SYN, another on data': [
		'plain',
		(one) => openWithSyn(one, cdn4).then(() => sendData(one, toaOption('cdn4', '203.0.113.8'))),
	],
	'malformed on the SYN': ['plain', (one) => openWithSyn(one, '1c00ffff')],
	'of an untrusted sender on the SYN': ['plain', (one) => openWithSyn(one, cdn4), untrusted],
	'of an untrusted sender on the ACK': [
		'plain',
		async (one) => void (await one.open(option)),
		{ ...untrusted, port: 2001 },
	],
	'of an untrusted sender on data': [
		'plain',
		(one) => one.open().then(() => sendData(one, option)),
		{ ...untrusted, port: 2002 },
	],
	'two that differ': ['plain', async (one) => void (await one.open(option + toaOption('nat64', '2001:db8::43')))],
	'malformed, then good': ['plain', (one) => one.open('fd00ffff').then(() => sendData(one, option))],
	'malformed, and no other': ['plain', (one) => one.open('fd00ffff').then(() => sendData(one))],
	'of no profile': ['plain', (one) => one.open('6304abcd').then(() => sendData(one))],
	'none, and nothing is sent': ['dual', async (one) => void (await one.open())],
	'none, and much is sent': [
		'plain',
		async (one) => {
			await one.open();
			for (let sent = 1; sent <= 20; sent++) {
				one.data('x'.repeat(1000));
				await one.acknowledged(sent * 1000);
			}
		},
	],
	'on a FIN': [
		'plain',
		async (one) => {
			await one.open();
			one.fin({ options: option, data: 'x' });
			one.markReceived(await one.finished());
		},
	],
	'on data, where accept() waits for it': [
		'defer',
		async (one) => {
			one.syn();
			await one.synAck();
			one.acknowledge(option);
			await sendData(one, option);
		},
	],
};

async function sendData(one: WireConnection, options?: string): Promise<void> {
	one.data('x', { options });
	await one.acknowledged(1);
}

async function openWithSyn(one: WireConnection, onSyn: string, onAck?: string): Promise<void> {
	one.syn({ options: onSyn });
	await one.synAck();
	one.acknowledge(onAck);
}

async function open(provider: string): Promise<Stage> {
	return WireStage.open(
		{ plain: ['4'], dual: ['dual'], six: ['6'], fastopen: ['4', 'fastopen'], defer: ['4', 'defer'] },
		{
			sysctls: { 'ipv4/tcp_fastopen': '3' },
			trust: ['198.18.0.0/16', '2001:db8:f::/64', network.pool],
			config: [`provider: ${provider}`, 'profiles: [nat64, toa6, toa4, cdn4, cdn6]'],
		},
	);
}

/** Sends each vector on the ACK, to each kind of listener. */
async function driveVectors(stage: Stage, results: Map<string, object[]>, port: number): Promise<void> {
	const byProfiles = Map.groupBy(readVectors(), ({ profiles }) => JSON.stringify(profiles.map(formatProfile)));
	for (const [profiles, vectors] of byProfiles) {
		const { configFile } = stage.daemon;
		const config = readFileSync(configFile, 'utf8').replace(/^profiles:.*$/m, `profiles: ${profiles}`);
		expect((await stage.daemon.reload(config)).msg).toBe('configuration reloaded');
		for (const [to, family] of [['plain', 4] as const, ['dual', 4] as const, ['six', 6] as const]) {
			for (const { name, options } of vectors) {
				const one = await stage.connection(to, { family }).open(options);
				one.reset();
				await stage.wire.handled();
				// kernels discard lists that are malformed by their own rules: then there is no
				// connection
				if ((await lookUp(stage.daemon, one.peer)).length > 0) await closedConnection(stage.daemon, one.peer);
				results.set(`${profiles} ${to} ${family} ${name}`, await compared(stage, one, port));
			}
		}
	}
}

async function compared(stage: Stage, { peer }: WireConnection, port: number): Promise<object[]> {
	return (await lookUp(stage.daemon, peer)).map((found) => comparableConnection(found, port));
}

async function driveActs(stage: Stage, results: Map<string, object[]>, port: number): Promise<void> {
	for (const [what, [to, action, from]] of Object.entries(cases)) {
		const one = stage.connection(to, from === undefined ? {} : { from });
		await action(one, stage);
		one.reset();
		await closedConnection(stage.daemon, one.peer);
		results.set(what, await compared(stage, one, port));
	}
}

/** Runs clients through the NAT64, some of them without TOA, and some to the listener itself. */
async function driveLab(stage: Stage, port: number): Promise<object[]> {
	const { lab } = stage;
	const backendPort = port + 6;
	const routes = (['nat64', 'toa6', 'toa4', 'none'] as const).map((profile, at) => ({
		listenPort: 10_001 + at,
		backendPort,
		profile,
	}));
	await using _gateway = await lab.gateway(routes);
	const echoed = new EchoRecords();
	await using _server = await lab.echoServer({ port: backendPort, onRecords: echoed.onRecords });
	await using client = await lab.client();
	const results = [];
	for (const { listenPort } of routes) {
		results.push(
			...(await client.run({
				from: '2001:db8:c::cb00:7101',
				clients: 8,
				count: 24,
				to: nat64Server,
				port: listenPort,
				send: 3000,
				receive: 5000,
			})),
		);
	}
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	const records = await echoed.of(results);
	const peers = results.map(({ id }) => `${records.get(id)?.peer}:${records.get(id)?.peerPort}`);
	for (const peer of peers) await closedConnection(stage.daemon, peer);
	return (await lookUpAll(stage.daemon, peers)).flat().map((found) => comparableConnection(found, port, true));
}

async function drive(provider: string): Promise<Outcome> {
	await using stage = await open(provider);
	const { port } = stage.listeners.plain;
	const byHand = new Map<string, object[]>();
	await driveActs(stage, byHand, port);
	await driveVectors(stage, byHand, port);
	const ofLab = await driveLab(stage, port);
	// all are closed: the metrics show that after one more collection
	const samples = await metricsAtRest(stage.daemon, '', 0);
	const opened = total(samples, 'toascope_connections_opened_total');
	expect(opened).toBeGreaterThan(400n);
	expect(total(samples, 'toascope_connections_closed_total')).toBe(opened);
	const { clients } = await stage.daemon.json<{ clients: ClientJson[] }>('/v1/clients?limit=1000');
	const status = await stage.daemon.json<{ recent: { unknown_options: object[] } }>('/v1/status');
	return {
		byHand,
		ofLab: sorted(ofLab),
		clients: sorted(clients.map((one) => comparableClient(one, port))),
		metrics: comparableSamples(samples, port),
		// they are in the order of a hash table
		unknownOptions: sorted(status.recent.unknown_options),
	};
}

function sorted(some: readonly object[]): object[] {
	const text = (one: object) => JSON.stringify(one);
	return some.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

describe('the same traffic', () => {
	const outcomes = new Map<string, Outcome>();
	const of = (provider: string) => outcomes.get(provider) as Outcome;

	beforeAll(async () => {
		for (const provider of providers) {
			if (provider === 'module') await loadToa();
			outcomes.set(provider, await drive(provider));
			if (provider === 'module') await unloadToa();
		}
	}, 1_200_000);

	it('was observed: hand-made connections, and those of lab clients', () => {
		expect(of('bpf').byHand.get('the option on the ACK')).toMatchObject([
			{ verdict: 'toa', client: { address: client6, port: 5555 } },
		]);
		expect(of('bpf').byHand.size).toBeGreaterThan(300);
		expect(of('bpf').ofLab).toHaveLength(96);
	});

	it.each(Object.keys(cases))('%s', (what) => {
		expect(of('module').byHand.get(what)).toEqual(of('bpf').byHand.get(what));
	});

	it('every vector', () => {
		expect(Object.fromEntries(of('module').byHand)).toEqual(Object.fromEntries(of('bpf').byHand));
	});

	it('every connection of the lab', () => {
		expect(of('module').ofLab).toEqual(of('bpf').ofLab);
	});

	it('every client', () => {
		expect(of('module').clients).toEqual(of('bpf').clients);
	});

	it('every metric of each listener', () => {
		expect(of('module').metrics.length).toBeGreaterThan(100);
		expect(of('module').metrics).toEqual(of('bpf').metrics);
	});

	it('every unknown option', () => {
		expect(of('module').unknownOptions).toEqual(of('bpf').unknownOptions);
	});
});
