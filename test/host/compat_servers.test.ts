// SPDX-License-Identifier: Apache-2.0
/**
 * 32-bit servers: the kernel does not run BPF programs for their getsockopt(). The doctor and the
 * daemon's log report this.
 */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Check } from '../../daemon/doctor/check.ts';
import { findCompatServers } from '../../daemon/host/compat_servers.ts';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile, supports32Bit } from '../kit/kernel/c_program.ts';
import { Probe } from '../kit/wire/probe.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const ENOPROTOOPT = 92;
const port = somePorts(2);
const [toCompat, toProbe] = [10_001, 10_002];
const config = (...more: string[]) =>
	[`listeners: {ports: [${port}-${port + 1}]}`, 'provider: auto', ...more].join('\n');

describe.skipIf(!supports32Bit)('a 32-bit server', () => {
	let lab: Lab;
	let client: LabClient;
	let pid: number;
	let lines: AsyncIterator<string>;

	const line = async () => JSON.parse((await lines.next()).value as string) as { ready?: boolean; error?: number };

	beforeAll(async () => {
		lab = await Lab.open({
			routes: [
				{ listenPort: toCompat, backendPort: port, profile: 'nat64' },
				{ listenPort: toProbe, backendPort: port + 1, profile: 'nat64' },
			],
		});
		client = await lab.client();
		const server = lab.spawn('server', compile('listener32'), [String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
		const input = createInterface({ input: server.stdout as Readable });
		lines = input[Symbol.asyncIterator]();
		expect(await line()).toEqual({ ready: true });
		pid = server.pid as number;
	});
	afterAll(async () => {
		await lab?.close();
	});

	/**
	 * Connects through the balancer. Throws if that fails: otherwise the test would wait for an
	 * accept that never comes.
	 */
	async function connect(to: number, hold = false): Promise<void> {
		const [made] = await client.run({ from: clientAddress, to: nat64Server, port: to, hold });
		if (made?.error !== undefined) throw new Error(`the connection to ${to} failed: ${made.error}`);
	}

	const examined = async (daemon: Daemon) => {
		const { out } = await toascope(['doctor', '--json', '--config', daemon.configFile]);
		const { checks } = JSON.parse(out) as { checks: readonly Check[] };
		return checks.find(({ name }) => name === 'compat_servers');
	};

	it('is found by its executable, with the ports that it listens on', () => {
		expect(findCompatServers('all')).toContainEqual({
			pid,
			comm: 'listener32',
			uid: process.getuid?.(),
			ports: [port],
		});
		expect(findCompatServers([{ first: 1, last: port - 1 }])).not.toContainEqual(expect.objectContaining({ pid }));
	});

	it('gets ENOPROTOOPT, unlike a 64-bit one; the log and the doctor report it', async () => {
		await using daemon = await Daemon.start({ config: config() });
		const probe = await Probe.start(lab, '4', port + 1);
		await connect(toCompat);
		expect(await line()).toEqual({ error: ENOPROTOOPT });
		await Promise.all([probe.accept(), connect(toProbe, true)]);
		await probe.read();
		expect(await probe.getsockopt(0, 4096, 20)).toMatchObject({ result: 0 });
		await Promise.all([client.release(), probe.closeConnection()]);

		const named = `listener32 (process ${pid}, port ${port})`;
		const { servers } = await daemon.logged(/^32-bit servers get no answer/);
		expect(servers).toContain(named);
		const finding = await examined(daemon);
		expect(finding).toMatchObject({ state: 'warn', found: expect.stringContaining(named) });
		expect(finding?.advice).toMatch(/provider to module/);
	});

	it.each(['sockopt: off', `listeners: {ports: [${port + 1}]}`])('is not reported with %s', async (key) => {
		const text = key.startsWith('listeners') ? key : config(key);
		await using daemon = await Daemon.start({ config: text });
		expect(await examined(daemon)).toBeUndefined();
		expect(daemon.log.map(({ msg }) => msg)).not.toContainEqual(expect.stringMatching(/^32-bit servers/));
	});
});
