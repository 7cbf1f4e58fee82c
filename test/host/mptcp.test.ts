// SPDX-License-Identifier: Apache-2.0
/**
 * MPTCP at both ends, with two subflows: the application's socket has the client, and the second
 * subflow is part of the connection.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, network } from '../../daemon/lab/lab.ts';
import { runToExit } from '../../daemon/lab/process.ts';
import { findTools } from '../../daemon/lab/tools.ts';
import { native } from '../../native/binding.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { clientTotals, expectIdentity, listenerTotals, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { MptcpBalancer } from '../kit/kernel/other_programs.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const script = (name: string) => join(import.meta.dirname, `../kit/apps/${name}.py`);
const client = '203.0.113.7';
/** ::ffff:203.0.113.7 port 5555, as getsockopt(4096) returns it. */
const answer = '00000000000000000000ffffcb00710715b30000';
const EINVAL = 22;
const port = somePorts(1);
const listener = `${network.server}:${port}`;
/** Another address of the gateway, for the second subflow. */
const otherAddress = network.pool.replace(/\d+\/\d+$/, '9');
const bytes = 300_000;

interface Report {
	readonly ready?: boolean;
	readonly accepted?: readonly [string, number];
	readonly peer?: readonly [string, number];
	readonly option?: string | number;
	readonly received?: number;
	readonly paths?: number;
}

describe.skipIf(!native().probe().mptcpHelpers)('MPTCP with two subflows', () => {
	let lab: Lab;
	let cgroups: Cgroups;
	let server: AsyncIterator<string>;

	const nextReport = async (from: AsyncIterator<string>) => JSON.parse((await from.next()).value as string) as Report;
	const linesOf = (output: unknown) => createInterface({ input: output as Readable })[Symbol.asyncIterator]();
	const ip = async (name: 'gateway' | 'server', ...args: string[]) =>
		runToExit(lab.spawn(name, findTools().ip, args, { stdio: ['pipe', 'ignore', 'pipe'] }), 'ip', '');

	beforeAll(async () => {
		cgroups = Cgroups.open();
		lab = await Lab.open();
		await ip('gateway', 'mptcp', 'limits', 'set', 'subflow', '2');
		await ip('server', 'mptcp', 'limits', 'set', 'subflow', '2');
		await ip('gateway', 'mptcp', 'endpoint', 'add', otherAddress, 'subflow');
		const child = lab.spawn('server', 'python3', [script('mptcp_server'), String(port)], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		server = linesOf(child.stdout);
		expect(await nextReport(server)).toEqual({ ready: true });
	});
	afterAll(async () => {
		await lab?.close();
		await cgroups?.[Symbol.asyncDispose]();
	});

	/**
	 * Makes one connection. Resolves with what the server reports, and with the number of further
	 * subflows.
	 */
	async function connect(): Promise<Report> {
		const args = [script('mptcp_client'), network.server, String(port), '1', String(bytes)];
		const enter = 'echo $$ >"$0/cgroup.procs" && exec python3 "$@"';
		const child = lab.spawn('gateway', 'sh', ['-c', enter, cgroups.make('client'), ...args], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		const ended = once(child, 'exit');
		const report = await nextReport(server);
		const { paths } = await nextReport(linesOf(child.stdout));
		const { received } = await nextReport(server);
		await ended;
		return { ...report, paths: paths ?? 0, received: received ?? 0 };
	}

	it.each(['on', 'off'] as const)('with an option, transparent %s', async (transparent) => {
		await using balancer = await MptcpBalancer.attach(cgroups.make('client'));
		await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\ntransparent: ${transparent}` });
		const report = await connect();
		expect(report).toMatchObject({ paths: 1, received: bytes + 5, option: answer });
		if (transparent === 'on') expect(report).toMatchObject({ accepted: [client, 5555], peer: [client, 5555] });
		else expect(report.accepted?.[0]).not.toBe(client);
		await daemon.until((samples) => listenerTotals(samples, listener).closed === 1n || undefined);
		// the second subflow can close later than the first
		await daemon.until((samples) => listenerTotals(samples, listener).received >= BigInt(bytes + 5) || undefined);
		const samples = await metricsAtRest(daemon, '', 0);
		expect(listenerTotals(samples, listener)).toMatchObject({ opened: 1n, closed: 1n });
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(1n);
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'none' })).toBe(0n);
		expect(total(samples, 'toascope_connection_duration_seconds_count', { listener })).toBe(1n);
		const clients = clientTotals(samples, listener);
		expect(clients.get('direct')?.received).toBe(0n);
		expect(clients.get(client)).toEqual(listenerTotals(samples, listener));
		expectIdentity(samples, listener);
		await balancer.counts();
	});

	it('without an option: one direct connection, and getsockopt(4096) fails with EINVAL', async () => {
		await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\ntransparent: on` });
		const report = await connect();
		expect(report).toMatchObject({ paths: 1, received: bytes + 5, option: EINVAL });
		await daemon.until((samples) => listenerTotals(samples, listener).received >= BigInt(bytes + 5) || undefined);
		const samples = await metricsAtRest(daemon, '', 0);
		expect(listenerTotals(samples, listener)).toMatchObject({ opened: 1n, closed: 1n });
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'none' })).toBe(1n);
		expect(clientTotals(samples, listener).get('direct')).toEqual(listenerTotals(samples, listener));
	});
});
