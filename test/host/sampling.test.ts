// SPDX-License-Identifier: Apache-2.0
/**
 * Which connections have a span: by ratio and listener, by what happened to them, after a reload;
 * and what the ring carries of those that have none.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { thresholdOf } from '../../daemon/model/sampling.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { EchoRecords } from '../kit/daemon/echo_records.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { closedConnection, lookUpAll, lookUpUntil } from '../kit/daemon/lookup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { Scripted } from '../kit/wire/scripted.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(3);
const otherPort = port + 1;
const scriptedPort = port + 2;
const routes = { sampled: 10_001, other: 10_002, scripted: 10_003 };
const acceptWaitMs = 400;

const conditions = `retransmits: 1, accept_wait: ${acceptWaitMs} ms`;

function configuration(ratio: number, ...more: readonly string[]): string {
	return [
		`listeners: {ports: [${port}-${scriptedPort}]}`,
		`trust: [${network.pool}]`,
		// some 250 records
		'bpf: {ring_bytes: 65536}',
		`otel: {metrics: off, sampling: {ratio: ${ratio}, listeners: [${port}, ${scriptedPort}]${more.map((key) => `, ${key}`).join('')}}}`,
	].join('\n');
}

let lab: Lab;
let client: LabClient;
let receiver: OtlpReceiver;
let daemon: Daemon;
const echoed = new EchoRecords();
let made = 0;

function start(config: string): Promise<Daemon> {
	return Daemon.start({
		config,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
	});
}

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: routes.sampled, backendPort: port, profile: 'nat64' },
			{ listenPort: routes.other, backendPort: otherPort, profile: 'nat64' },
			{ listenPort: routes.scripted, backendPort: scriptedPort, profile: 'nat64' },
		],
	});
	[client, receiver] = await Promise.all([
		lab.client(),
		startOtlpReceiver(),
		lab.echoServer({ port, onRecords: echoed.onRecords }),
		lab.echoServer({ port: otherPort, onRecords: echoed.onRecords }),
	]);
	daemon = await start(configuration(0.25));
}, scaleTimeout(60_000));

afterAll(async () => {
	await daemon?.stop();
	await receiver?.close();
	await lab?.close();
});

/** Makes connections from clients of their own, and resolves with their records once all have closed. */
async function connect(to: 'sampled' | 'other', count: number): Promise<ConnectionJson[]> {
	const from = `2001:db8:c:0:${++made}::1`;
	const results = await client.run({
		from,
		clients: 10,
		count,
		to: nat64Server,
		port: routes[to],
		send: 10,
		receive: 20,
	});
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	const records = await echoed.of(results);
	const peers = results.map(({ id }) => `${records.get(id)?.peer}:${records.get(id)?.peerPort}`);
	let found: ConnectionJson[];
	do {
		const local = to === 'sampled' ? port : otherPort;
		// a peer can have used the same port to both listeners
		found = (await lookUpAll(daemon, peers)).flatMap((all) => all.find((one) => one.local.port === local) ?? []);
	} while (found.some(({ state }) => state === 'open'));
	return found;
}

const randomnessOf = (traceId: string) => BigInt(`0x${traceId.slice(-14)}`);
const traceIds = (connections: readonly ConnectionJson[]) =>
	connections.map(({ trace_id }) => trace_id ?? '').toSorted();
const spansFrom = (first: number) =>
	receiver.spans
		.slice(first)
		.map(({ traceId }) => traceId)
		.toSorted();

it('by ratio and listener: exactly those whose randomness reaches the threshold', async () => {
	const [onSampled, onOther] = await Promise.all([connect('sampled', 600), connect('other', 100)]);
	expect([onSampled.length, onOther.length]).toEqual([600, 100]);
	const expected = onSampled.filter(({ trace_id }) => randomnessOf(trace_id ?? '0') >= thresholdOf(0.25));
	// six standard deviations of a binomial distribution
	expect(Math.abs(expected.length - 150)).toBeLessThan(6 * Math.sqrt(600 * 0.25 * 0.75));
	await receiver.waitForSpans(expected.length, scaleTimeout(20_000));
	expect(spansFrom(0)).toEqual(traceIds(expected));
	expect(new Set(receiver.spans.map(({ traceState }) => traceState))).toEqual(new Set(['ot=th:c']));
	const samples = await daemon.metrics();
	expect(samples.find(({ name }) => name === 'toascope_span_sampling_ratio')?.value).toBe('0.25');
	expect(total(samples, 'toascope_drops_total')).toBe(0n);
});

it('after a reload with the ratio 0: none, and none of them has a record in the ring', async () => {
	await daemon.reload(configuration(0));
	const already = receiver.spans.length;
	daemon.child.kill('SIGSTOP');
	try {
		const from = '2001:db8:c:0:ffff::1';
		const load = { from, clients: 10, count: 1000, to: nat64Server, port: routes.sampled, send: 10, receive: 20 };
		await echoed.of(await client.run(load));
	} finally {
		daemon.child.kill('SIGCONT');
	}
	const samples = await metricsAtRest(daemon, `${network.server}:${port}`, 1600);
	expect(total(samples, 'toascope_drops_total')).toBe(0n);
	// a stop sends what is queued
	await daemon.stop();
	expect(receiver.spans).toHaveLength(already);
});

/** Runs a command in the namespace of the server. */
async function runInServer(command: string, ...args: string[]): Promise<void> {
	const [code] = await once(lab.spawn('server', command, args, { stdio: 'inherit' }), 'exit');
	expect(code, command).toBe(0);
}

it('by condition: one that waited for accept(), and one with a retransmission', {
	timeout: scaleTimeout(120_000),
}, async () => {
	const already = receiver.spans.length;
	daemon = await start(configuration(0, conditions));
	const [near, far] = await Promise.all([Scripted.start(lab, 'client'), Scripted.start(lab, 'server', scriptedPort)]);
	process.kill(far.pid, 'SIGSTOP');
	const late = await near.connect({ from: '2001:db8:c::aaaa', to: nat64Server, port: routes.scripted });
	// the gateway connects to the server later than the client to the gateway
	const counted = (name: string) =>
		daemon.until(
			(samples) => total(samples, name, { listener: `${network.server}:${scriptedPort}` }) > 0n || undefined,
		);
	await counted('toascope_connections_opened_total');
	// the condition is a time
	await delay(acceptWaitMs);
	late.reset();
	await counted('toascope_connections_closed_total');
	process.kill(far.pid, 'SIGCONT');
	const [waited] = await receiver.waitForSpans(already + 1, scaleTimeout(20_000)).then((spans) => spans.slice(already));
	expect(waited).toMatchObject({ traceState: 'ot=th:0', attributes: { 'client.address': '2001:db8:c::aaaa' } });
	await far.accepted();

	const [quick, served] = await Promise.all([
		near.connect({ from: '2001:db8:c::bbbb', to: nat64Server, port: routes.scripted }),
		far.accepted(),
	]);
	quick.send(100);
	await served.received(100);
	// its segments go to a station that does not exist, until one was sent again
	const router = ['dev', 'gateway', 'nud', 'permanent'];
	await runInServer('ip', 'neigh', 'replace', network.gatewayOfServer, 'lladdr', '02:00:00:00:00:01', ...router);
	served.send(100);
	const peer = `${served.peer}:${served.peerPort}`;
	await lookUpUntil(daemon, peer, ([newest]) => (newest?.retransmitted_segments ?? 0) > 0);
	await runInServer('ip', 'neigh', 'del', network.gatewayOfServer, 'dev', 'gateway');
	await quick.received(100);
	quick.end();
	await served.ended();
	served.end();
	const [retransmitted] = await receiver
		.waitForSpans(already + 2, scaleTimeout(30_000))
		.then((spans) => spans.slice(already + 1));
	expect(retransmitted).toMatchObject({ traceState: 'ot=th:0', attributes: { 'client.address': '2001:db8:c::bbbb' } });
	expect(Number(retransmitted?.attributes['toascope.retransmitted_segments'])).toBeGreaterThan(0);

	// one to which neither happened
	const [plain, end] = await Promise.all([
		near.connect({ from: '2001:db8:c::cccc', to: nat64Server, port: routes.scripted }),
		far.accepted(),
	]);
	plain.end();
	await end.ended();
	end.end();
	await closedConnection(daemon, `${end.peer}:${end.peerPort}`);
	await daemon.stop();
	expect(receiver.spans).toHaveLength(already + 2);
});
