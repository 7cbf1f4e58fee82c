// SPDX-License-Identifier: Apache-2.0
/**
 * OTLP receivers that are not trusted, busy, moved to another address, or gone without a word: no
 * count and no span is lost, and the log has one line for each change.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { LabServer } from '../../daemon/lab/lab_server.ts';
import { isReadyLine, runToExit, stop, untilReady } from '../../daemon/lab/process.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { clientTotals, labTotalsByClient } from '../kit/daemon/expected_traffic.ts';
import { startGrpcReceiver } from '../kit/telemetry/grpc_receiver.ts';
import {
	decodeMetricsRequest,
	decodeTraceRequest,
	type ReceivedMetric,
	type ReceivedSpan,
} from '../kit/telemetry/otlp_decode.ts';
import { startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { latestSamples } from '../kit/telemetry/otlp_series.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;
const forwarder = new URL('../kit/apps/forwarder.ts', import.meta.url).pathname;
const timeout = { timeout: scaleTimeout(120_000) };

let lab: Lab;
let server: LabServer;
let client: LabClient;
let directory: string;
/** All connections that the current test has made; each daemon of it has counted from the first. */
let results: ConnectionResult[];

beforeAll(async () => {
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	server = await lab.echoServer({ port });
	client = await lab.client();
});

afterAll(async () => {
	await lab?.close();
});

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-otlp-'));
	results = [];
});

afterEach(() => rmSync(directory, { recursive: true }));

/** A daemon that exports five times a second, and gives up a request after a second. */
function start(
	env: Readonly<Record<string, string>>,
	options: { readonly through?: readonly string[]; readonly more?: string } = {},
): Promise<Daemon> {
	const { through = [], more = '' } = options;
	return Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\n${more}`,
		env: {
			OTEL_METRIC_EXPORT_INTERVAL: '200',
			OTEL_BSP_SCHEDULE_DELAY: '100',
			OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
			...env,
		},
		through,
	});
}

async function load(): Promise<void> {
	const from = `2001:db8:c:0:${results.length + 1}::1`;
	const made = await client.run({
		from,
		clients: 5,
		count: 20,
		to: nat64Server,
		port: listenPort,
		send: 300,
		receive: 5000,
	});
	expect(made.filter(({ error }) => error !== undefined)).toEqual([]);
	results.push(...made);
}

/** What receivers have, one or several. */
interface Received {
	metrics(): readonly ReceivedMetric[];
	spans(): readonly ReceivedSpan[];
	close(): void | Promise<void>;
}

/** A key and a certificate, in PEM. */
interface KeyPair {
	readonly key: Buffer;
	readonly cert: Buffer;
}

/** Starts a receiver on a Unix socket, or at `HOST:PORT`. */
async function receive(
	protocol: string,
	at: { readonly socket: string } | { readonly host: string; readonly port: number; readonly tls?: KeyPair },
) {
	if (protocol !== 'grpc') {
		const receiver = await startOtlpReceiver(undefined, at);
		const { metrics, spans, endpoint } = receiver;
		return { metrics: () => metrics, spans: () => spans, close: () => receiver.close(), endpoint };
	}
	const receiver =
		'socket' in at
			? await startGrpcReceiver(undefined, `unix:${at.socket}`)
			: await startGrpcReceiver(undefined, `${at.host}:${at.port}`, at.tls);
	const of = (service: string) => receiver.requests.filter((one) => one.service === service).map(({ body }) => body);
	return {
		metrics: () => of('metrics').flatMap(decodeMetricsRequest),
		spans: () => of('trace').flatMap(decodeTraceRequest),
		close: () => receiver.close(),
		endpoint: receiver.endpoint,
	};
}

/** Resolves when the receivers have the exact counts of the connections of this test. */
async function untilCounted(...receivers: readonly Received[]): Promise<void> {
	const expected = labTotalsByClient(results);
	const counts = () => {
		const totals = clientTotals(latestSamples(receivers.flatMap((one) => one.metrics())), listener);
		return new Map([...totals].filter(([name]) => expected.has(name)));
	};
	const isWhole = () => {
		const now = counts();
		return [...expected].every(([name, { closed, received, sent }]) => {
			const of = now.get(name);
			return of?.closed === closed && of.received === received && of.sent === sent;
		});
	};
	while (!isWhole()) await setTimeout(100);
	expect(counts()).toEqual(expected);
}

/** Resolves when they also have a span of each of these connections. */
async function untilReceived(...receivers: readonly Received[]): Promise<void> {
	await untilCounted(...receivers);
	// a request that was answered too late is sent again: spans can arrive twice
	const endpoints = () => {
		const all = receivers.flatMap((one) => one.spans());
		return new Set(all.map(({ attributes }) => `${attributes['client.address']} ${attributes['client.port']}`));
	};
	while (endpoints().size < results.length) await setTimeout(100);
	expect(endpoints()).toEqual(new Set(results.map(({ client: address, clientPort }) => `${address} ${clientPort}`)));
}

/** The lines about a signal that begins to fail, and that succeeds again. */
const changesOf = (daemon: Daemon, signal: string) =>
	daemon.log.filter((line) => line.msg.startsWith('telemetry is') && line['signal'] === signal).map(({ msg }) => msg);
const failing = 'telemetry is not reaching the OTLP receiver';
const succeeding = 'telemetry is reaching the OTLP receiver again';

/** Resolves when the log has exactly these lines about each signal. */
async function untilLogged(daemon: Daemon, ...changes: readonly string[]): Promise<void> {
	for (const signal of ['metrics', 'traces']) {
		while (changesOf(daemon, signal).length < changes.length) await setTimeout(50);
		expect(changesOf(daemon, signal), signal).toEqual(changes);
	}
}

describe('a receiver that', () => {
	it.each([429, 503])('is busy (%i with Retry-After): the request waits, and is sent once', timeout, async (status) => {
		const at: number[] = [];
		const receiver = await startOtlpReceiver((_, path) => {
			at.push(performance.now());
			// the first request of each signal
			const isFirst = receiver.requests.every((one) => one.path !== path);
			return isFirst ? { status, headers: { 'Retry-After': '1' } } : { status: 200 };
		});
		try {
			await using daemon = await start({
				OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
				OTEL_EXPORTER_OTLP_TIMEOUT: '10000',
			});
			await load();
			await untilReceived({ metrics: () => receiver.metrics, spans: () => receiver.spans, close: () => {} });
			for (const signal of ['metrics', 'traces']) {
				const own = receiver.requests.flatMap(({ path, body }, index) =>
					path === `/v1/${signal}` ? [{ body, at: at[index] ?? 0 }] : [],
				);
				expect(own[1]?.body.equals(own[0]?.body ?? Buffer.alloc(0)), signal).toBe(true);
				expect((own[1]?.at ?? 0) - (own[0]?.at ?? 0), signal).toBeGreaterThan(990);
			}
			expect(receiver.spans).toHaveLength(results.length);
			expect(daemon.log.filter(({ msg }) => msg.startsWith('telemetry is'))).toEqual([]);
		} finally {
			await receiver.close();
		}
	});
});

describe.each(['http/protobuf', 'grpc'])('by %s, a receiver that', (protocol) => {
	it(
		'has a certificate that is not trusted: one line, status and doctor; a restart that trusts it',
		timeout,
		async () => {
			const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
			const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
			const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=receiver`;
			const more = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', keyFile, '-out', certFile];
			execFileSync('openssl', [...request.split(' '), ...more], { stdio: 'ignore' });
			const tls = { key: readFileSync(keyFile), cert: readFileSync(certFile) };
			const receiver = await receive(protocol, { host: '127.0.0.1', port: 0, tls });
			const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: protocol };
			const pinned = `bpf: {pin: ${pin}}`;
			try {
				// the counters stay, and the next daemon goes on with them
				await using daemon = await start(env, { more: `${pinned}\non_exit: keep` });
				await load();
				expect(await daemon.logged(/^telemetry is not reaching/)).toMatchObject({
					err: { message: expect.stringContaining('self-signed certificate') },
				});
				const failed = (samples: Awaited<ReturnType<Daemon['metrics']>>) =>
					samples
						.filter(({ name }) => name === 'toascope_otlp_failed_requests_total')
						.map(({ value }) => Number(value));
				await daemon.until((samples) => failed(samples).every((count) => count >= 3) || undefined);
				expect(changesOf(daemon, 'metrics')).toEqual([failing]);
				expect(changesOf(daemon, 'traces')).toEqual([failing]);
				const message = expect.stringContaining('self-signed certificate');
				expect(await daemon.json('/v1/status')).toMatchObject({
					otlp: [
						{ signal: 'metrics', exported: '0', failing: { message } },
						{ signal: 'traces', exported: '0', failing: { message } },
					],
				});
				const { out } = await toascope(['doctor', '--config', daemon.configFile]);
				expect(out).toMatch(/OTLP metrics[^\n]*(\n[^\n]*)?has not accepted them since .*: self-signed certificate/);
				await daemon.stop();
				// spans that no receiver accepts are lost with their daemon
				const made = results.length;
				await using again = await start({ ...env, OTEL_EXPORTER_OTLP_CERTIFICATE: certFile }, { more: pinned });
				await load();
				while (receiver.spans().length < results.length - made) await setTimeout(100);
				await untilCounted(receiver);
				expect(changesOf(again, 'metrics')).toEqual([]);
				expect((await toascope(['doctor', '--config', again.configFile])).out).toMatch(
					/OTLP metrics[^\n]*\n?.*sent to (https:\/\/)?127\.0\.0\.1/,
				);
			} finally {
				if (existsSync(pin)) {
					writeFileSync(join(directory, 'toascope.yaml'), pinned);
					await toascope(['detach', '--config', join(directory, 'toascope.yaml')]);
				}
				await receiver.close();
			}
		},
	);

	it('returns under another address of its name', timeout, async () => {
		const hosts = join(directory, 'hosts');
		writeFileSync(hosts, '127.0.0.2 receiver.test\n');
		const receivers = [await receive(protocol, { host: '127.0.0.2', port: 0 })];
		try {
			const otlpPort = Number(new URL(receivers[0]?.endpoint ?? '').port);
			// the file system of the daemon has this file in the place of /etc/hosts
			const mounted = `mount --bind ${hosts} /etc/hosts && exec "$@"`;
			await using daemon = await start(
				{ OTEL_EXPORTER_OTLP_ENDPOINT: `http://receiver.test:${otlpPort}`, OTEL_EXPORTER_OTLP_PROTOCOL: protocol },
				{ through: ['unshare', '--mount', 'sh', '-c', mounted, 'sh'] },
			);
			await load();
			await untilReceived(...receivers);
			await receivers[0]?.close();
			await load();
			await untilLogged(daemon, failing);
			receivers.push(await receive(protocol, { host: '127.0.0.3', port: otlpPort }));
			writeFileSync(hosts, '127.0.0.3 receiver.test\n');
			await untilLogged(daemon, failing, succeeding);
			await load();
			await untilReceived(...receivers);
			await untilLogged(daemon, failing, succeeding);
		} finally {
			await Promise.all(receivers.map((one) => one.close()));
		}
	});

	it('vanishes without closing its connections is dialled again soon after it is back', timeout, async () => {
		const socket = join(directory, 'receiver');
		const receiver = await receive(protocol, { socket });
		const [near, far] = ['203.0.113.1', '203.0.113.2'];
		const ip = (name: 'gateway' | 'server', commands: string) =>
			runToExit(lab.spawn(name, 'ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] }), 'ip', commands);
		const forward = async (): Promise<ChildProcess> => {
			const args = [forwarder, far, '4318', socket];
			const child = lab.spawn('gateway', process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
			await untilReady(child, 'forwarder', isReadyLine);
			return child;
		};
		await ip(
			'gateway',
			`link add far type veth peer name near netns ${server.pid}\naddress add ${far}/30 dev far\nlink set far up\n`,
		);
		await ip('server', `address add ${near}/30 dev near\nlink set near up\n`);
		let forwarding = await forward();
		try {
			await using daemon = await start(
				{ OTEL_EXPORTER_OTLP_ENDPOINT: `http://${far}:4318`, OTEL_EXPORTER_OTLP_PROTOCOL: protocol },
				{ through: ['nsenter', `--net=/proc/${server.pid}/ns/net`, '--'] },
			);
			await load();
			await untilReceived(receiver);
			await ip('gateway', 'link set far down\n');
			// its host is started again meanwhile: nothing there knows the connections any more
			await stop(forwarding, 'SIGKILL');
			await load();
			await untilLogged(daemon, failing);
			await ip('gateway', `link set far up\n`);
			forwarding = await forward();
			const backAt = performance.now();
			await untilLogged(daemon, failing, succeeding);
			expect(performance.now() - backAt).toBeLessThan(scaleTimeout(15_000));
			await load();
			await untilReceived(receiver);
			await untilLogged(daemon, failing, succeeding);
		} finally {
			await stop(forwarding, 'SIGKILL');
			await ip('gateway', 'link delete far\n');
			await receiver.close();
		}
	});
});
