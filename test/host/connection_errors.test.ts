// SPDX-License-Identifier: Apache-2.0
/**
 * A connection that times out: its record and its span say so. (payload.test.ts has those that are
 * reset.) While a connection is open, its record has the ids that its span gets.
 */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { type End, Scripted } from '../kit/wire/scripted.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listenPort = 10_001;
let lab: Lab;
let near: Scripted;
let far: Scripted;
let receiver: OtlpReceiver;
let daemon: Daemon;

beforeAll(async () => {
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	[near, far, receiver] = await Promise.all([
		Scripted.start(lab, 'client'),
		Scripted.start(lab, 'server', port),
		startOtlpReceiver(),
	]);
	daemon = await Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\notel: {metrics: off}`,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
	});
});

afterAll(async () => {
	await daemon?.stop();
	await receiver?.close();
	await lab?.close();
});

/** Runs a command in the namespace of the server. */
async function runInServer(command: string, ...args: string[]): Promise<void> {
	const [code] = await once(lab.spawn('server', command, args, { stdio: 'inherit' }), 'exit');
	expect(code, command).toBe(0);
}

async function lookUp(server: End): Promise<ConnectionJson | undefined> {
	const query = new URLSearchParams({ peer: `${server.peer}:${server.peerPort}` });
	return (await daemon.json<{ connections: ConnectionJson[] }>(`/v1/connections?${query}`)).connections[0];
}

it('whose client does not answer any more ends with a time-out', { timeout: scaleTimeout(120_000) }, async () => {
	// retransmissions are given up after two
	await runInServer('sysctl', '-q', '-w', 'net.ipv4.tcp_retries2=2');
	const [client, server] = await Promise.all([
		near.connect({ from: '2001:db8:c::1', to: nat64Server, port: listenPort }),
		far.accepted(),
	]);
	client.send(100);
	await server.received(100);
	const open = await lookUp(server);
	expect(open).toMatchObject({ state: 'open', error: null, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) });

	// from now on its segments go to a station that does not exist
	const router = [network.gatewayOfServer, 'lladdr', '02:00:00:00:00:01', 'dev', 'gateway', 'nud', 'permanent'];
	await runInServer('ip', 'neigh', 'replace', ...router);
	server.send(5000);
	const [span] = await receiver.waitForSpans(1, scaleTimeout(60_000));
	expect(span).toMatchObject({
		traceId: open?.trace_id,
		spanId: open?.span_id,
		status: 2,
		attributes: { 'client.address': '2001:db8:c::1', 'error.type': 'ETIMEDOUT' },
	});
	expect(await lookUp(server)).toMatchObject({ state: 'closed', error: 'ETIMEDOUT', trace_id: open?.trace_id });
});
