// SPDX-License-Identifier: Apache-2.0
/** Servers that know nothing of TOA: with `transparent` they see the client, without it the balancer. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/http/json.ts';
import type { Route } from '../../daemon/lab/gateway.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { Result } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { findProgram, type RunningServer, startNginx, startNode, startPython } from '../fixtures/http_servers.ts';
import { total } from '../fixtures/metrics.ts';
import { clientAddress, ipv4Of, isGateway, somePorts } from '../fixtures/stage.ts';

const clients = 20;
const count = 60;
const firstPort = somePorts(4);
const ports = { nginx: firstPort, nginx4: firstPort + 1, node: firstPort + 2, python: firstPort + 3 };
type Server = keyof typeof ports;

const profiles = ['nat64', 'toa6', 'toa4', 'none'] as const;
type Profile = (typeof profiles)[number];

const listenPort = (server: Server, profile: Profile) =>
	10_000 + Object.keys(ports).indexOf(server) * profiles.length + profiles.indexOf(profile);

const routes: Route[] = (Object.keys(ports) as Server[]).flatMap((server) =>
	profiles.map((profile) => ({ listenPort: listenPort(server, profile), backendPort: ports[server], profile })),
);

const nginxPath = findProgram('nginx');
const python = findProgram('python3');

let lab: Lab;
let client: LabClient;
let daemon: Daemon;

const config = (transparent: 'on' | 'off') =>
	`listeners: {ports: ["${firstPort}-${firstPort + 3}"]}\ntransparent: ${transparent}`;

beforeAll(async () => {
	lab = await Lab.open({ routes });
	client = await lab.client();
});
afterAll(async () => {
	await lab.close();
});

/** `count` requests by `clients` clients. */
async function request(server: Server, profile: Profile): Promise<Result[]> {
	const results = await client.run({
		from: clientAddress,
		clients,
		count,
		to: nat64Server,
		port: listenPort(server, profile),
		text: 'GET / HTTP/1.0\r\n\r\n',
	});
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	expect(new Set(results.map((result) => result.client)).size).toBe(clients);
	return results;
}

/** What the server answered, without what HTTP puts before it. */
const told = ({ reply }: Result): string => reply?.split('\r\n\r\n').at(-1) ?? '';

/** What it should see: the client. */
const real = ({ client: address, clientPort }: Result) => `${address} ${clientPort}`;
const realIpv4 = ({ client: address, clientPort }: Result) => `${ipv4Of(address)} ${clientPort}`;
const realMapped = (result: Result) => `::ffff:${realIpv4(result)}`;

function expectGateway(text: string, mapped: boolean): void {
	const [address = ''] = text.split(' ');
	expect(address).toSatisfy(isGateway);
	expect(address.startsWith('::ffff:')).toBe(mapped);
}

/** Requires each to be seen as `shown` says, by what it answered itself. */
function expectSeen(results: readonly Result[], shown: (result: Result) => string): void {
	expect(results.map(told)).toEqual(results.map(shown));
}

const sorted = (lines: readonly string[]) => [...lines].sort();

/** The daemon's answer on the peer that a server saw. */
async function lookup(server: RunningServer, result: Result): Promise<ConnectionJson | undefined> {
	const peer = told(result).replace('::ffff:', '').replace(' ', ':');
	const path = `/v1/connections?peer=${peer}&netns=${lab.netnsInode('server')}`;
	const { connections } = await daemon.json<{ connections: ConnectionJson[] }>(path);
	return connections.find(({ local }) => local.port === server.port);
}

/** Until the kernel has closed what the servers got: only then is an accept that nobody saw sure to be known. */
function untilClosed(server: RunningServer, connections: bigint): Promise<true> {
	const listener = `192.0.2.2:${server.port}`;
	return daemon.until((samples) =>
		total(samples, 'toascope_connections_closed_total', { listener }) === connections ? true : undefined,
	);
}

describe.each(['off', 'on'] as const)('transparent %s', (transparent) => {
	beforeAll(async () => {
		daemon = await Daemon.start({ config: config(transparent) });
	});
	afterAll(async () => {
		await daemon.stop();
	});

	describe('nginx on [::]', () => {
		it.for(profiles)('%s', async (profile, { skip }) => {
			if (nginxPath === undefined) return skip('no nginx here');
			await using nginx = await startNginx(lab, nginxPath, ports.nginx, `[::]:${ports.nginx} ipv6only=off`);
			const results = await request('nginx', profile);
			const log = nginx.accessLog();
			expect(sorted(log)).toEqual(sorted(results.map(told)));
			if (transparent === 'off' || profile === 'none') {
				expect(log).toHaveLength(count);
				for (const line of log) expectGateway(line, true);
			} else {
				expect(sorted(log)).toEqual(sorted(results.map(profile === 'toa4' ? realMapped : real)));
				expectSeen(results, profile === 'toa4' ? realMapped : real);
			}
		});
	});

	describe('nginx on AF_INET', () => {
		it.for(profiles)('%s', async (profile, { skip }) => {
			if (nginxPath === undefined) return skip('no nginx here');
			await using nginx = await startNginx(lab, nginxPath, ports.nginx4, String(ports.nginx4));
			const results = await request('nginx4', profile);
			const log = nginx.accessLog();
			if (transparent === 'on' && profile === 'toa4') {
				expect(sorted(log)).toEqual(sorted(results.map(realIpv4)));
				expectSeen(results, realIpv4);
			} else {
				expect(log).toHaveLength(count);
				for (const line of log) expectGateway(line, false);
			}
		});
	});

	describe.each([
		['Node', 'node', (port: number) => startNode(lab, port)],
		['Python', 'python', python === undefined ? undefined : (port: number) => startPython(lab, port, python)],
	] as const)('%s on [::]', (name, server, start) => {
		it.for(profiles)('%s', async (profile, { skip }) => {
			if (start === undefined) return skip(`no ${name} here`);
			await using _running = await start(ports[server]);
			const results = await request(server, profile);
			if (transparent === 'off' || profile === 'none') {
				for (const result of results) expectGateway(told(result), true);
			} else {
				expectSeen(results, profile === 'toa4' ? realMapped : real);
			}
		});
	});
});

describe('the daemon knows by the balancer which client and which process', () => {
	let acceptProgram: string;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: config('off') });
		({ accept_program: acceptProgram } = await daemon.json<{ accept_program: string }>('/v1/status'));
	});
	afterAll(async () => {
		await daemon.stop();
	});

	async function expectKnown(running: RunningServer, server: Server, seen: string): Promise<void> {
		const comm = readFileSync(`/proc/${running.pid}/comm`, 'utf8').trim();
		const results = await request(server, 'nat64');
		await untilClosed(running, BigInt(count));
		for (const result of results) {
			expect(await lookup(running, result)).toMatchObject({
				client: { address: result.client, port: result.clientPort },
				verdict: 'toa',
				profile: 'nat64',
				state: 'closed',
				received_bytes: String(result.sent),
				sent_bytes: String(result.received),
				seen,
				process: { pid: running.pid, comm, by: seen === 'unseen' ? 'listener' : 'accept' },
			});
		}
	}

	it('nginx, which asks accept() for the address', async ({ skip }) => {
		if (nginxPath === undefined) return skip('no nginx here');
		await using nginx = await startNginx(lab, nginxPath, ports.nginx, `[::]:${ports.nginx} ipv6only=off`);
		await expectKnown(nginx, 'nginx', acceptProgram);
	});

	it('Python, which does too', async ({ skip }) => {
		if (python === undefined) return skip('no python3 here');
		await using running = await startPython(lab, ports.python, python);
		await expectKnown(running, 'python', acceptProgram);
	});

	it('Node, which does not', async () => {
		await using running = await startNode(lab, ports.node);
		await expectKnown(running, 'node', acceptProgram === 'fexit' ? 'fexit' : 'unseen');
	});
});
