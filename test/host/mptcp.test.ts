// SPDX-License-Identifier: Apache-2.0
/**
 * MPTCP at both ends, with two paths: the application's socket knows the client, and the further path is part of the
 * connection.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../daemon/capture/native.ts';
import { Lab, network } from '../../daemon/lab/lab.ts';
import { finish } from '../../daemon/lab/process.ts';
import { findTools } from '../../daemon/lab/tools.ts';
import { clientAccounts, expectIdentity, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Cgroups } from '../fixtures/cgroup.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { MptcpBalancer } from '../fixtures/foreign.ts';
import { total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';

const script = (name: string) => join(import.meta.dirname, `../fixtures/apps/${name}.py`);
const client = '203.0.113.7';
/** ::ffff:203.0.113.7 port 5555, as getsockopt(4096) gives it. */
const answer = '00000000000000000000ffffcb00710715b30000';
const EINVAL = 22;
const port = somePorts(1);
const listener = `${network.server}:${port}`;
/** Further addresses of the gateway, which the second path takes one of. */
const otherAddress = network.pool.replace(/\d+\/\d+$/, '9');
const bytes = 300_000;

interface Said {
	readonly ready?: boolean;
	readonly accepted?: readonly [string, number];
	readonly peer?: readonly [string, number];
	readonly option?: string | number;
	readonly received?: number;
	readonly paths?: number;
}

describe.skipIf(!native().probe().mptcpHelpers)('MPTCP with two paths', () => {
	let lab: Lab;
	let cgroups: Cgroups;
	let server: AsyncIterator<string>;

	const says = async (from: AsyncIterator<string>) => JSON.parse((await from.next()).value as string) as Said;
	const linesOf = (output: unknown) => createInterface({ input: output as Readable })[Symbol.asyncIterator]();
	const ip = async (name: 'gateway' | 'server', ...args: string[]) =>
		finish(lab.spawn(name, findTools().ip, args, { stdio: ['pipe', 'ignore', 'pipe'] }), 'ip', '');

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
		expect(await says(server)).toEqual({ ready: true });
	});
	afterAll(async () => {
		await lab?.close();
		await cgroups?.[Symbol.asyncDispose]();
	});

	/** One connection, from the server's side; and how many further paths it had. */
	async function connect(): Promise<Said> {
		const args = [script('mptcp_client'), network.server, String(port), '1', String(bytes)];
		const enter = 'echo $$ >"$0/cgroup.procs" && exec python3 "$@"';
		const child = lab.spawn('gateway', 'sh', ['-c', enter, cgroups.make('client'), ...args], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		const ended = once(child, 'exit');
		const told = await says(server);
		const { paths } = await says(linesOf(child.stdout));
		const { received } = await says(server);
		await ended;
		return { ...told, paths: paths ?? 0, received: received ?? 0 };
	}

	it.each(['on', 'off'] as const)('with an option, transparent %s', async (transparent) => {
		await using balancer = await MptcpBalancer.attach(cgroups.make('client'));
		await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\ntransparent: ${transparent}` });
		const said = await connect();
		expect(said).toMatchObject({ paths: 1, received: bytes + 5, option: answer });
		if (transparent === 'on') expect(said).toMatchObject({ accepted: [client, 5555], peer: [client, 5555] });
		else expect(said.accepted?.[0]).not.toBe(client);
		await daemon.until((samples) => listenerAccount(samples, listener).closed === 1n || undefined);
		// the second path may close later than the first one
		await daemon.until((samples) => listenerAccount(samples, listener).received >= BigInt(bytes + 5) || undefined);
		const samples = await settled(daemon, '', 0);
		expect(listenerAccount(samples, listener)).toMatchObject({ opened: 1n, closed: 1n });
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'toa' })).toBe(1n);
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'none' })).toBe(0n);
		expect(total(samples, 'toascope_connection_duration_seconds_count', { listener })).toBe(1n);
		const clients = clientAccounts(samples, listener);
		expect(clients.get('direct')?.received).toBe(0n);
		expect(clients.get(client)).toEqual(listenerAccount(samples, listener));
		expectIdentity(samples, listener);
		await balancer.told();
	});

	it('without an option: one direct connection, and 4096 is EINVAL', async () => {
		await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}\ntransparent: on` });
		const said = await connect();
		expect(said).toMatchObject({ paths: 1, received: bytes + 5, option: EINVAL });
		await daemon.until((samples) => listenerAccount(samples, listener).received >= BigInt(bytes + 5) || undefined);
		const samples = await settled(daemon, '', 0);
		expect(listenerAccount(samples, listener)).toMatchObject({ opened: 1n, closed: 1n });
		expect(total(samples, 'toascope_handshakes_total', { listener, result: 'none' })).toBe(1n);
		expect(clientAccounts(samples, listener).get('direct')).toEqual(listenerAccount(samples, listener));
	});
});
