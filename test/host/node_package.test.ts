// SPDX-License-Identifier: Apache-2.0
/**
 * @toascope/node under the running daemon, behind the lab's gateway: what clientOf() returns for
 * every kind of server, and what the SERVER spans of real instrumented applications say, is the
 * address and port that the client itself used.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Route } from '../../daemon/lab/gateway.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { inGuest } from '../kit/kernel/in_guest.ts';
import { connectAll, kinds, Lines, type Start, serversProgram, type Target } from '../kit/node_package/apps.ts';
import { packageDirectory } from '../kit/node_package/built.ts';
import { type ApplicationName, applications, Instrumented } from '../kit/node_package/instrumented.ts';
import { selfSigned } from '../kit/node_package/self_signed.ts';
import type { ReceivedSpan } from '../kit/telemetry/otlp_decode.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { ipv4Of, isGateway, somePorts } from '../kit/wire/toa_stage.ts';

/** The profile of the option, by how the connection arrives. */
const profiles = { IPv6: 'nat64', IPv4: 'toa4', none: 'none' } as const;
type Option = keyof typeof profiles;

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];
const applicationNames = Object.keys(applications) as ApplicationName[];
const portsOfApplication = 3;
const firstPort = somePorts(kindNames.length + applicationNames.length * portsOfApplication);
const firstListenPort = 10_000;
/** The maximum number of routes of one gateway (native/lab/gateway.c). */
const routesMax = 64;
const receiverPort = 4318;
const forwarder = new URL('../kit/apps/forwarder.ts', import.meta.url).pathname;
const serverKind = 2;

const portOfKind = (kind: keyof typeof kinds) => firstPort + kindNames.indexOf(kind);
const portOfApplication = (name: ApplicationName) =>
	firstPort + kindNames.length + applicationNames.indexOf(name) * portsOfApplication;
const lastPort = firstPort + kindNames.length + applicationNames.length * portsOfApplication - 1;
/** The gateway's port for a route whose option is only on data. */
const onDataPort = firstListenPort - 1;
/** The gateway's port for a port of the server. */
const listenPort = (port: number, option: Option) =>
	firstListenPort + (port - firstPort) * Object.keys(profiles).length + Object.keys(profiles).indexOf(option);

/** The address of the n-th client; the last four bytes are the IPv4 address that `toa4` names. */
const clientAddress = (index: number) => `2001:db8:c::cb00:${(0x7100 + index).toString(16)}`;
const asOption = (address: string, option: Option) => (option === 'IPv4' ? ipv4Of(address) : address);

let lab: Lab;
let daemon: Daemon;
let startClient: Start;
let startServer: (command: string, args: readonly string[], env?: NodeJS.ProcessEnv, cwd?: string) => ChildProcess;

beforeAll(async () => {
	const ports = Array.from({ length: lastPort - firstPort + 1 }, (_, index) => firstPort + index);
	const routes: Route[] = ports.flatMap((port) =>
		(Object.keys(profiles) as Option[]).map((option) => ({
			listenPort: listenPort(port, option),
			backendPort: port,
			profile: profiles[option],
		})),
	);
	routes.push({
		listenPort: onDataPort,
		backendPort: portOfKind('greeting'),
		profile: 'nat64',
		segments: ['data'],
	});
	lab = await Lab.open();
	for (let at = 0; at < routes.length; at += routesMax) await lab.gateway(routes.slice(at, at + routesMax));
	startClient = (command, args) => lab.spawn('client', command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
	startServer = (command, args, env = process.env, cwd = '/') =>
		lab.spawn('server', command, args, { stdio: ['ignore', 'pipe', 'inherit'], env, cwd });
	daemon = await Daemon.start({
		config: `listeners: {ports: ["${firstPort}-${lastPort}"]}\ntrust: [${network.pool}]`,
	});
}, scaleTimeout(60_000));
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

describe('clientOf()', () => {
	let servers: Lines;

	beforeAll(async () => {
		const { key, cert } = selfSigned();
		const config = {
			module: pathToFileURL(join(packageDirectory, 'dist/index.js')).href,
			host: '0.0.0.0',
			ports: Object.fromEntries(kindNames.map((kind) => [kind, portOfKind(kind)])),
			key: String(key),
			cert: String(cert),
		};
		servers = new Lines(startServer(process.execPath, [serversProgram, JSON.stringify(config)]));
		await servers.json();
	});

	const connect = (option: Option, names: readonly (keyof typeof kinds)[]) =>
		connectAll(
			startClient,
			names.map((name, index) => ({
				kind: kinds[name],
				host: nat64Server,
				port: listenPort(portOfKind(name), option),
				from: clientAddress(index),
				count: 2,
			})),
		);

	it.each([
		['IPv6', 6],
		['IPv4', 4],
	] as const)('every kind of server, %s client', async (option, family) => {
		const made = await connect(option, kindNames);
		expect(made).toHaveLength(kindNames.length);
		for (const [index, { address, port, replies }] of made.entries()) {
			const client = { address: asOption(address, option), port, family };
			for (const reply of replies) {
				expect([kindNames[index], JSON.parse(reply.replace('hello\n', ''))]).toEqual([
					kindNames[index],
					{ client, code: 'CLIENT' },
				]);
			}
		}
	});

	it('an option that comes with the first data: no client at accept(), then one, also after the close', async () => {
		const target = { kind: 'greeting', host: nat64Server, port: onDataPort, from: clientAddress(0) } as const;
		const [{ address = '', port = 0, replies } = { replies: [] }] = await connectAll(startClient, [target]);
		const client = { address, port, family: 6 };
		expect(JSON.parse(replies[0]?.replace('hello\n', '') ?? '')).toEqual({ client, code: 'CLIENT' });
		let closed: { early: unknown; late: { port: number } | null };
		do closed = await servers.json();
		while (closed.late?.port !== port);
		expect(closed).toEqual({ early: null, late: client });
	});

	it('every kind of server, a connection without TOA', async () => {
		const made = await connect('none', kindNames);
		const replies = made.flatMap((each) => each.replies.map((reply) => JSON.parse(reply.replace('hello\n', ''))));
		expect(replies.length).toBeGreaterThan(kindNames.length);
		// EINVAL, or ENOPROTOOPT on kernels where a program cannot set an error
		for (const reply of replies) {
			expect(reply).toEqual({ client: null, code: expect.stringMatching(/^NO_(CLIENT|TOASCOPE)$/) });
		}
	});
});

describe('SERVER spans', () => {
	let receiver: OtlpReceiver;
	let instrumented: Instrumented | undefined;
	/** The applications: the one of auto-instrumentations-node survives SIGTERM. */
	const running: ChildProcess[] = [];
	let directory: string;

	beforeAll(async () => {
		if (inGuest) return;
		instrumented = await Instrumented.create();
		if (instrumented === undefined) return;
		directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		const socket = join(directory, 'otlp.sock');
		receiver = await startOtlpReceiver(undefined, { socket });
		await new Lines(startServer(process.execPath, [forwarder, '127.0.0.1', String(receiverPort), socket])).next();
		const endpoint = `http://127.0.0.1:${receiverPort}`;
		const { directory: cwd } = instrumented;
		await Promise.all(
			applicationNames.map(async (name) => {
				const [, ...options] = applications[name];
				const env = instrumented?.environment(name, portOfApplication(name), endpoint);
				const child = startServer(process.execPath, options, env, cwd);
				running.push(child);
				await new Lines(child).next();
			}),
		);
	}, scaleTimeout(300_000));
	afterAll(async () => {
		for (const child of running) child.kill('SIGKILL');
		await receiver?.close();
		instrumented?.[Symbol.dispose]();
		if (directory !== undefined) rmSync(directory, { recursive: true });
	});

	/** Resolves with the spans of kind SERVER of each target, in order, when each request has one. */
	async function serverSpans(wanted: readonly Target[]): Promise<ReceivedSpan[][]> {
		for (;;) {
			const found = wanted.map(({ path }) =>
				receiver.spans.filter(({ kind, attributes }) => kind === serverKind && attributes['url.path'] === path),
			);
			if (found.every((spans, index) => spans.length === wanted[index]?.count)) return found;
			await receiver.waitForSpans(receiver.spans.length + 1);
		}
	}

	/** Three requests on each of four connections at the same time, by each protocol. */
	function targets(name: ApplicationName, option: Option, headers: Readonly<Record<string, string>> = {}): Target[] {
		const [protocols] = applications[name];
		return protocols.flatMap((kind, offset) =>
			[0, 1, 2, 3].map((index) => ({
				kind,
				host: nat64Server,
				port: listenPort(portOfApplication(name) + offset, option),
				from: clientAddress(16 * offset + index),
				path: `/${applicationNames.indexOf(name)}/${option}/${Object.keys(headers).length}/${kind}/${index}`,
				headers,
				count: 3,
			})),
		);
	}

	/** Each span with the index of its target. */
	const numbered = (spans: readonly (readonly ReceivedSpan[])[]) =>
		spans.flatMap((ofTarget, index) => ofTarget.map((span) => [index, span] as const));

	const skipped = (skip: (note: string) => void): boolean => {
		if (instrumented === undefined) skip(inGuest ? 'a guest has no npm' : 'the registry of npm cannot be reached');
		return instrumented === undefined;
	};

	describe.each(applicationNames)('%s', (name) => {
		it.for(['IPv6', 'IPv4'] as const)('%s clients', async (option, { skip }) => {
			if (skipped(skip)) return;
			const wanted = targets(name, option);
			const made = await connectAll(startClient, wanted);
			const spans = await serverSpans(wanted);
			for (const [index, span] of numbered(spans)) {
				const { address = '', port = 0 } = made[index] ?? {};
				expect(span.attributes).toMatchObject({
					'client.address': asOption(address, option),
					'client.port': BigInt(port),
				});
				expect(span.attributes['network.peer.address']).toSatisfy(isGateway);
				expect(span.attributes['network.peer.port']).not.toBe(BigInt(port));
				expect(span.attributes).not.toHaveProperty('toascope.client.address.claimed');
			}
			const others = receiver.spans.filter(({ kind }) => kind !== serverKind);
			expect(others.filter(({ attributes }) => 'client.address' in attributes)).toEqual([]);
		});

		it('X-Forwarded-For does not hide the client', async ({ skip }) => {
			if (skipped(skip)) return;
			const claimed = '192.0.2.99';
			const wanted = targets(name, 'IPv6', { 'x-forwarded-for': claimed });
			const made = await connectAll(startClient, wanted);
			const spans = await serverSpans(wanted);
			for (const [index, { attributes }] of numbered(spans)) {
				const { address = '', port = 0 } = made[index] ?? {};
				expect(attributes).toMatchObject({ 'client.address': address, 'client.port': BigInt(port) });
				// the hook cannot see what the instrumentation would have written, and http2 has none
				const isKept = !name.endsWith('incomingSpanHook') && wanted[index]?.kind !== 'h2';
				expect(attributes['toascope.client.address.claimed']).toBe(isKept ? claimed : undefined);
			}
		});

		it('without TOA, the instrumentation has the last word', async ({ skip }) => {
			if (skipped(skip)) return;
			const wanted = targets(name, 'none').filter(({ kind }) => kind !== 'h2');
			await connectAll(startClient, wanted);
			for (const [, { attributes }] of numbered(await serverSpans(wanted))) {
				expect(attributes['client.address']).toBe(attributes['network.peer.address']);
				expect(attributes).not.toHaveProperty('client.port');
			}
		});
	});
});
