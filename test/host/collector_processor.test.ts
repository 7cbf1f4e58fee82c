// SPDX-License-Identifier: Apache-2.0
/**
 * Unmodified services with the OpenTelemetry instrumentation of their language behind the lab's
 * NAT64: their spans go through a Collector with the processor `toascope`, which asks the running
 * daemon, and must name the clients that the lab used.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { lookUp } from '../kit/daemon/lookup.ts';
import { exporterEnvironment, instrumentedServices, type Service } from '../kit/instrumented/services.ts';
import { type CollectedSpan, Collector } from '../kit/telemetry/collector.ts';
import { buildProcessorCollector } from '../kit/telemetry/go_programs.ts';
import { outcomesOf, ownTelemetry } from '../kit/telemetry/processor_outcomes.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { ipv4Of, somePorts } from '../kit/wire/toa_stage.ts';

const program = (await buildProcessorCollector()) ?? '';
const services = program === '' ? [] : await instrumentedServices();
const firstPort = somePorts(Math.max(services.length, 1));
const firstListenPort = 10_001;
/** The options that the gateway writes: the client's IPv6 address, or the IPv4 one in its last bytes. */
const profiles = ['nat64', 'toa4'] as const;
type Profile = (typeof profiles)[number];
const forged = '203.0.113.9';

const configuration = (socket: string, forgedPort: number) => `
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:\${env:COLLECTOR_HTTP_PORT}"}
processors:
  toascope:
    endpoint: ${socket}
    policy: always
    listeners: [":${forgedPort}"]
exporters:
  file/metrics: {path: "\${env:COLLECTOR_FILES}/metrics.json", flush_interval: 100ms, append: true}
  file/traces: {path: "\${env:COLLECTOR_FILES}/traces.json", flush_interval: 100ms, append: true}
service:${ownTelemetry}
  pipelines:
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    traces: {receivers: [otlp], processors: [toascope], exporters: [file/traces]}
`;

type Attributes = Readonly<Record<string, string>>;

const attributesOf = ({ attributes }: CollectedSpan): Attributes =>
	Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]));

describe.skipIf(services.length === 0)('spans of instrumented services', () => {
	const sockets = mkdtempSync(join(tmpdir(), 'toascope-processor-'));
	const socket = join(sockets, 'toascope.sock');
	let lab: Lab;
	let client: LabClient;
	let collector: Collector;
	let daemon: Daemon;
	let requests = 0;

	const portOf = (service: Service) => firstPort + services.indexOf(service);
	const listenPortOf = (service: Service, profile: Profile = 'nat64') =>
		firstListenPort + 2 * services.indexOf(service) + profiles.indexOf(profile);

	const startDaemon = (transparent = 'off') =>
		Daemon.start({
			config: [
				`listeners: {ports: ["${firstPort}-${firstPort + services.length - 1}"]}`,
				`trust: [${network.pool}]`,
				`transparent: ${transparent}`,
				`http: {listen: "127.0.0.1:0", socket: ${socket}}`,
				// spans have ids whether they arrive or not
				'otel: {endpoint: "http://127.0.0.1:9", metrics: off}',
			].join('\n'),
		});

	/** Resolves when the service listens; rejects with its output if it ends before that. */
	async function startService(service: Service): Promise<void> {
		const [command = '', ...args] = service.command(portOf(service));
		const env = { ...process.env, ...exporterEnvironment(collector.endpoint('http')), ...service.env };
		const child = lab.spawn('server', command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
		await listening(service, child);
	}

	async function listening(service: Service, child: ChildProcess): Promise<void> {
		let output = '';
		for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => (output += part));
		while (child.exitCode === null) {
			const [made] = await client.run({ ...batchOf(service, '/start'), from: '2001:db8:c::ffff' });
			if (made?.reply?.includes('ok') === true) return;
			await new Promise((resolve) => setTimeout(resolve, 100));
		}
		throw new Error(`${service.name} ended: ${output}`);
	}

	const batchOf = (service: Service, path: string, header = '', profile: Profile = 'nat64') => ({
		to: nat64Server,
		port: listenPortOf(service, profile),
		text: `GET ${path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n${header}\r\n`,
	});

	/** One request. Resolves with its path, which no other one has, and its client. */
	async function request(
		service: Service,
		header = '',
		profile: Profile = 'nat64',
	): Promise<{ path: string; made: ConnectionResult }> {
		const path = `/${service.name}/${++requests}`;
		const from = `2001:db8:c::cb00:${(0x7100 + requests).toString(16)}`;
		const [made] = await client.run({ ...batchOf(service, path, header, profile), from });
		if (made?.reply?.includes('ok') !== true) throw new Error(`${service.name}: ${made?.error ?? made?.reply}`);
		return { path, made };
	}

	/** Resolves with the SERVER span of the request, once it has arrived. */
	async function spanOf(path: string): Promise<{ span: CollectedSpan; attributes: Attributes }> {
		for (;;) {
			for (const span of collector.spans()) {
				const attributes = attributesOf(span);
				const found = attributes['url.path'] ?? attributes['http.target'];
				if (span.kind === 2 && found === path) return { span, attributes };
			}
			await new Promise((resolve) => setTimeout(resolve, 50));
		}
	}

	async function untilCounted(outcome: string, least: number): Promise<void> {
		while ((outcomesOf(collector).get(outcome) ?? 0) < least) await new Promise((resolve) => setTimeout(resolve, 50));
	}

	/** Makes requests until one has a span that names its client. */
	async function untilEnriched(service: Service): Promise<void> {
		for (;;) {
			const { path, made } = await request(service);
			const { attributes } = await spanOf(path);
			if (attributes['client.address'] === made.client) return;
			expect(attributes).not.toHaveProperty('toascope.verdict');
		}
	}

	beforeAll(async () => {
		lab = await Lab.open({
			routes: services.flatMap((service) => [
				{ listenPort: listenPortOf(service), backendPort: portOf(service), profile: 'nat64' },
				{ listenPort: listenPortOf(service, 'toa4'), backendPort: portOf(service), profile: 'toa4' },
			]),
		});
		client = await lab.client();
		collector = await Collector.start(program, {
			configuration: configuration(socket, firstPort),
			spawn: (command, args, options) => lab.spawn('server', command, args, options),
		});
		daemon = await startDaemon();
		await Promise.all(services.map(startService));
	}, scaleTimeout(120_000));

	afterAll(async () => {
		await daemon?.stop('SIGKILL');
		await lab?.close();
		await collector?.[Symbol.asyncDispose]();
		rmSync(sockets, { recursive: true, force: true });
	});

	it('every service of this machine names its clients', async () => {
		const wanted = ['node', 'python', 'python-http', 'python-dup', 'go', 'java'];
		// the kernel side takes the RTT at the close, which a lookup can precede
		let measured = 0;
		for (const service of services) {
			for (let i = 0; i < 3; i++) {
				const { path, made } = await request(service);
				const { span, attributes } = await spanOf(path);
				const old = service.name === 'python' || service.name === 'python-dup';
				const stable = service.name !== 'python';
				expect(attributes, path).toMatchObject({
					...(stable && { 'client.address': made.client }),
					...(old && { 'http.client_ip': made.client }),
					'client.port': String(made.clientPort),
					'toascope.verdict': 'toa',
					'toascope.retransmitted_segments': '0',
				});
				if (Number(attributes['toascope.rtt_seconds']) > 0) measured++;
				// the balancer, by which the daemon knows the connection that the span is linked to
				const address = attributes['network.peer.address'] ?? attributes['net.peer.ip'];
				const port = attributes['network.peer.port'] ?? attributes['net.peer.port'];
				const [connection] = await lookUp(daemon, `${address}:${port}`);
				expect(connection?.client).toEqual({ address: made.client, port: made.clientPort });
				expect(span.links).toMatchObject([{ traceId: connection?.trace_id, spanId: connection?.span_id }]);
			}
		}
		expect(measured).toBeGreaterThan(0);
		const missing = wanted.filter((name) => !services.some((service) => service.name === name));
		if (missing.length > 0) console.log(`!! not on this machine: services with the instrumentation of ${missing}`);
	});

	it('a forged X-Forwarded-For is unmasked where the policy says so, and otherwise kept', async () => {
		const header = `X-Forwarded-For: ${forged}\r\n`;
		for (const service of services.filter(({ name }) => ['node', 'go', 'java'].includes(name))) {
			const { path, made } = await request(service, header);
			const { attributes } = await spanOf(path);
			expect(attributes, path).toMatchObject(
				portOf(service) === firstPort
					? { 'client.address': made.client, 'toascope.client.address.claimed': forged }
					: { 'client.address': forged, 'toascope.client.address': made.client },
			);
		}
	});

	it('spans whose peer is the client, by `transparent: on`, get the rest', async () => {
		await daemon.stop();
		daemon = await startDaemon('on');
		for (const service of services) {
			for (;;) {
				const { path, made } = await request(service, '', 'toa4');
				const { span, attributes } = await spanOf(path);
				const address = ipv4Of(made.client);
				const peer = ['network.peer.address', 'net.peer.ip', 'client.address'].find((name) => name in attributes) ?? '';
				expect(attributes[peer], path).toBe(address);
				// the first requests can find the processor waiting for the daemon that was stopped
				if (!('toascope.verdict' in attributes)) continue;
				expect(attributes, path).toMatchObject({
					[service.name === 'python' ? 'http.client_ip' : 'client.address']: address,
					'client.port': String(made.clientPort),
				});
				const balancer = `${attributes['toascope.peer.address']}:${attributes['toascope.peer.port']}`;
				const [connection] = await lookUp(daemon, balancer);
				expect(connection?.client).toEqual({ address, port: made.clientPort });
				expect(span.links).toMatchObject([{ traceId: connection?.trace_id, spanId: connection?.span_id }]);
				break;
			}
		}
		await untilCounted('peer_is_client', services.length);
	});

	it('spans go on while the daemon is killed, restarted or hangs, and are counted', async () => {
		const service = services.find(({ name }) => name === 'node') ?? (services[0] as Service);
		await daemon.stop('SIGKILL');
		for (let i = 0; i < 3; i++) {
			const { path } = await request(service);
			expect((await spanOf(path)).attributes).not.toHaveProperty('toascope.verdict');
		}
		await untilCounted('unreachable', 3);

		daemon = await startDaemon();
		await untilEnriched(service);

		daemon.child.kill('SIGSTOP');
		const { path } = await request(service);
		expect((await spanOf(path)).attributes).not.toHaveProperty('toascope.verdict');
		await untilCounted('timeout', 1);

		daemon.child.kill('SIGCONT');
		await untilEnriched(service);
	});
});
